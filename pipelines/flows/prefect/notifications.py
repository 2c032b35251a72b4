"""Notify users through the notification blocks that params.yaml names (`flow.notify`).

Messages are about events that may need action: a run that ended other than plainly, a version that
waits for a person, a new champion. Secrets, such as a webhook's address, stay in the block. If a
block does not answer, one line is logged.
"""

from pathlib import Path
from typing import Any, cast

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.schemas.objects import FlowRun
from prefect.flows import Flow
from prefect.logging import get_logger
from prefect.settings import PREFECT_UI_URL

from hgmnet.config.params import load_params
from hgmnet.errors import HgmnetError
from pipelines.flows.prefect.states import AnyState

ORDINARY = {"Completed", "Unchanged"}
"""Names of states without a notification."""


def notify_on_end(flow: Flow[..., Any], run: FlowRun, state: AnyState) -> None:
    """Hook for `on_completion`, `on_failure` and `on_crashed`; ignores subflows."""
    if run.parent_task_run_id or state.name in ORDINARY:
        return
    page = f"{PREFECT_UI_URL.value()}/runs/flow-run/{run.id}"
    body = f"{run.name}\n{state.message or ''}\n{page}"
    send(Path(run.parameters["root"]), f"hgmnet {flow.name}: {state.name}", body)


HOOKS: Any = {
    "on_completion": [notify_on_end],
    "on_failure": [notify_on_end],
    "on_crashed": [notify_on_end],
}
"""Arguments of `@flow`."""


def send(root: Path, subject: str, body: str) -> None:
    """Send a message through every block of `flow.notify`."""
    try:
        names = load_params(root / "params.yaml").flow.notify
    except HgmnetError:
        return  # the run itself reports the error
    for name in names:
        try:
            block = Block.load(name)
            if not isinstance(block, NotificationBlock):
                get_logger(__name__).warning("%s is no notification block", name)
                continue
            cast("Any", block).notify(body, subject=subject)
        except Exception as error:  # its text can contain the address, which is a secret
            get_logger(__name__).warning("Not sent through %s: %s", name, type(error).__name__)
