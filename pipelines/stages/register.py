"""Stage register: record the decision in MLflow; register the model if it passed its gate.

It always runs and is idempotent: the same model and verdict give the same run and version. A DVC
experiment is only recorded, whatever its verdict.
"""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from filelock import FileLock

from hgmnet.config.data import Data
from hgmnet.config.operation import Registry
from hgmnet.errors import HgmnetError, RejectedError, redact_credentials
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import (
    RecordedEvaluation,
    count_received,
    read_evaluations,
)
from pipelines.registry import test_evaluations, versions
from pipelines.registry.decision_run import (
    Decision,
    read_decision,
    record,
    refuse_uncounted,
)
from pipelines.registry.evidence import PAGE
from pipelines.registry.tracking_store import (
    TrackingStore,
    connect_with_retries,
    http_limits,
    store_errors_as_messages,
)
from pipelines.report import console
from pipelines.version_page.page import write_page

_LATER = "everything is on disk, run `dvc repro register` when it is back"


@dataclass(frozen=True)
class Registration:
    """Result: `text`, the closing table; `rejection`, why the gate failed, else empty."""

    text: str
    rejection: str


def run(root: Path, data: Data, registry: Registry) -> None:
    """Record, register, set `challenger`, and print the closing table.

    Raises:
        ConfigError: as `record_and_register`.
        RejectedError: the gate failed; the run is recorded. Not raised in `dvc exp run`, which
            doesn't save an experiment with a failed stage.
        RuntimeError: as `record_and_register`.
    """
    experiment = os.environ.get("DVC_EXP_NAME", "")
    done = record_and_register(root, data, registry, experiment)
    print(f"\n{done.text}\n")
    if done.rejection and experiment:
        print(done.rejection)
    elif done.rejection:
        raise RejectedError(done.rejection)


def record_and_register(
    root: Path, data: Data, registry: Registry, experiment: str = ""
) -> Registration:
    """Record the decision; register the model and set `challenger` if its gate passed.

    Args:
        root: the repository.
        data: section `data` of params.yaml.
        registry: section `registry`.
        experiment: name of the DVC experiment that trained the model, which is then not
            registered; empty for none.

    Raises:
        ConfigError: MLflow can't be reached, or `registry.name` belongs to another data set.
        InvalidDataError: as `read_decision`, or the evaluation on the test split is not counted.
        RuntimeError: the registered version predicts otherwise than the model.
    """
    workspace = Workspace(root, data.name)
    decision = read_decision(workspace, experiment)
    received = count_received(workspace, decision.model, decision.gate.test_sha)
    with FileLock(workspace.state / "register.lock"):
        store = connect_with_retries(root, data.name, _LATER)
        with http_limits(timeout_s=120, retries=3), store_errors_as_messages(root, _LATER):
            appended = test_evaluations.forward(store, read_evaluations(workspace.openings))
            decision = replace(decision, openings=tuple(appended))
            refuse_uncounted(decision)
            if not experiment:
                versions.check_owner(store, registry.name, data.name)
            run_id = record(store, decision)
            model = _act(store, registry.name, decision, run_id)
    report = decision.workspace.html.relative_to(root)
    failed = decision.gate.status == "failed"
    rejection = console.rejection(decision.gate, run_id, report) if failed else ""
    return Registration(_text(store, decision, run_id, model, received), rejection)


def _act(store: TrackingStore, name: str, decision: Decision, run_id: str) -> str:
    """Register or withdraw the model by its verdict; return the outcome as text."""
    if decision.experiment:
        name = decision.experiment
        if decision.gate.status == "failed":
            return f"experiment {name}, rejected; its results are kept: dvc exp apply {name}"
        return (
            f"experiment {name}, not registered; to keep it, dvc exp apply {name}, then dvc repro"
        )
    if decision.gate.status == "passed":
        number = versions.register(store, name, decision, run_id)
        _write_page(store, decision, number, run_id)
        held = store.client.get_registered_model(name).aliases.items()
        roles = sorted(alias for alias, version in held if str(version) == number)
        return f"{name} version {number}, {' and '.join(roles) or 'which was rolled back'}"
    if decision.gate.status == "failed":
        known = versions.withdraw(store, name, decision, run_id)
        return f"{name} version {known}, rejected" if known else "not registered"
    return "not registered: the test split was not evaluated (evaluate.include_test)"


def _write_page(store: TrackingStore, decision: Decision, number: str, run_id: str) -> None:
    """Write the page about a new version; what prevents that is shown, for the version is made."""
    if store.client.list_artifacts(run_id, PAGE.partition("/")[0]):
        return
    try:
        write_page(store, decision.params, decision.workspace, number, None)
    except HgmnetError as error:
        print(f"hgmnet: version {number} has no page yet: {error}", file=sys.stderr)


def _text(
    store: TrackingStore,
    decision: Decision,
    run_id: str,
    model: str,
    received: RecordedEvaluation | None,
) -> str:
    report = decision.workspace.html.relative_to(decision.workspace.root)
    at = redact_credentials(store.uri)
    ui = f"mlflow ui --backend-store-uri {quote(at)} --port 5000"
    if store.uri.startswith("http"):
        ui = f"{at}/#/experiments/{store.experiment_id}/runs/{run_id}"
    lines = [
        ("model", model),
        ("test split", console.opened(decision.opening, decision.opened)),
        *([("counted", _evaluation(received))] if received else []),
        *(("validate again", f"{due.clause}: {due.reason}") for due in decision.due),
        ("report", f"{report}, in the MLflow run" if decision.experiment else str(report)),
        ("MLflow run", run_id),
        ("MLflow UI", ui),
    ]
    groups = decision.subgroups.groups
    table = console.figures_table(decision.evaluation, decision.gate, groups)
    return f"{table}\n\n{console.details(lines)}"


def _evaluation(one: RecordedEvaluation) -> str:
    return f"{one.command} of {one.when} by {one.who}, which came with these results"
