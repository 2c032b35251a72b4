"""A run on Prefect's pages: its name, progress and result.

A failure here never ends a run: if the server does not answer, one line is logged.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.runtime import flow_run

_EPOCH = re.compile(r"epoch (\d+)/(\d+): (.*)")


def run_name() -> str:
    """Return a run's name from its data set and parameters.

    `busi, busi-cpu, train.epochs=3`; `busi, version 3`; `busi, inbox, champion`.
    """
    given, kind = flow_run.parameters, flow_run.flow_name
    root, profile = Path(given["root"]), given.get("profile")
    changes = given.get("overrides") or {}
    words = [_data(root, profile, changes)]
    if kind == "training":
        words += [profile or "params.yaml", *(f"{key}={value}" for key, value in changes.items())]
    words += [Path(given[name]).name for name in ("folder", "source") if given.get(name)]
    if version := given.get("version"):
        words.append(f"version {version}")
    elif version := {"promotion": "challenger", "data-watch": "", "training": ""}.get(
        kind, "champion"
    ):
        words.append(version)
    return ", ".join(words)


def progress(key: str) -> Callable[[str], None]:
    """Return a function that takes each line of a training and updates a progress artifact."""
    show = share(key)

    def look(line: str) -> None:
        if found := _EPOCH.match(line.strip()):
            done, all_of_them, said = found.groups()
            show(int(done), int(all_of_them), f"epoch {done} of {all_of_them}: {said}")

    return look


def share(key: str) -> Callable[[int, int, str], None]:
    """Return a function that takes done, total and text, and updates a progress bar."""
    artifact: list[Any] = []

    def show(done: int, whole: int, text: str) -> None:
        percent = 100 * done / whole
        if artifact:
            _quietly(lambda: update_progress_artifact(artifact[0], percent, text))
        else:
            _quietly(lambda: artifact.append(create_progress_artifact(percent, key, text)))

    return show


def text_artifact(key: str, text: str) -> None:
    """Show a text as Markdown: aligned columns as tables, addresses as links."""
    _quietly(lambda: create_markdown_artifact(markdown(text), key=key.lower()))


def markdown(text: str) -> str:
    """Return Markdown of a terminal's text: tables of aligned columns, links of addresses.

    Lines between two empty ones that have the same number of columns, two spaces apart, become a
    table. One of two columns has no header.
    """
    return "\n\n".join(map(_block, re.split(r"\n\s*\n", text.strip())))


def _block(text: str) -> str:
    rows = [re.split(r"\s{2,}", _linked(line.strip())) for line in text.splitlines()]
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        return f"```\n{text}\n```"
    if width == 1:
        return "  \n".join(row[0] for row in rows)
    head, body = (rows[0], rows[1:]) if width > 2 else (["", ""], rows)
    lines = [head, ["---"] * width, *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _linked(line: str) -> str:
    return re.sub(r"https?://\S+", r"<\g<0>>", line.replace("|", "\\|"))


def _data(root: Path, profile: str | None, changes: dict[str, Any]) -> str:
    from hgmnet.config.params import load_params
    from hgmnet.errors import HgmnetError

    if "data.name" in changes:
        return str(changes["data.name"])
    file = root / "profiles" / f"{profile}.yaml" if profile else root / "params.yaml"
    try:
        return load_params(file).data.name
    except HgmnetError:
        return "unknown data"


def _quietly(show: Callable[[], Any]) -> None:
    try:
        show()
    except Exception as error:  # a display failure must not end the run
        get_run_logger().warning("Not shown in Prefect: %s", str(error).split("\n")[0])
