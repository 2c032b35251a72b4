"""docs/backup.md, typed as it is written there: back up while a run writes, restore elsewhere."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import read_evaluations, record_evaluation
from pipelines.registry.tracking_store import create_run, open_tracking_store
from tests.one_version import make_one_version
from tests.run_here import must_run
from tests.whole_repository import bash

PAGE = Path(__file__).resolve().parents[2] / "docs" / "backup.md"


def block(heading: str) -> str:
    """The commands below a heading of the page."""
    below = PAGE.read_text().split(f"\n## {heading}\n")[1]
    return re.search(r"^```bash\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Workspace:
    """A champion, images that DVC has, a split, an evaluation on the test split."""
    space = make_one_version(tmp_path / "checkout")
    must_run(space.root, "promote", "--approve", "--reason", "made up")
    record_evaluation(space, "m" * 64, "t" * 64, "made up")
    (space.root / "dvc.lock").unlink()
    (space.root / "dvc.yaml").write_text("stages: {}\n")
    ignored = "/mlflow.db*\n/mlartifacts/\n/.hgmnet/\n/models/\n/reports/\n/data/*/split.csv\n"
    (space.root / ".gitignore").write_text(ignored)
    bash(space.root, "git init -q; dvc init -q; dvc add -q data/phantom/raw")
    bash(space.root, "git add .; git commit -qm code")
    return space


@contextmanager
def a_run_that_writes(space: Workspace) -> Iterator[list[str]]:
    """Runs that log files one after another, until the block ends; their ids."""
    store, runs, over = open_tracking_store(space.root, space.data, 5), [], threading.Event()

    def work() -> None:
        while not over.is_set():
            runs.append(create_run(store, "made up", {}))
            store.client.log_artifact(runs[-1], str(space.per_image), "reports")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield runs
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_a_backup_made_while_a_run_writes_is_restored_elsewhere(
    checkout: Workspace, tmp_path: Path
) -> None:
    to = tmp_path / "backup"
    with a_run_that_writes(checkout) as runs:
        bash(checkout.root, f"to={to}\n{block('Back up')}")
    assert len(runs) > 1
    before = {path: path.read_bytes() for path in checkout.raw.rglob("*.png")}
    checkout.root.rename(tmp_path / "lost")

    said = bash(tmp_path, f"from={to}\n{block('Restore')}")
    restored = Workspace(tmp_path / "restored", checkout.data)
    assert "1 decision, every link holds." in said
    assert "made up" in {one.command for one in read_evaluations(restored.openings)}
    assert restored.split_csv.read_text() == "made up\n"
    for path, content in before.items():
        assert (restored.root / path.relative_to(checkout.root)).read_bytes() == content
    image = next(restored.raw.rglob("*.png"))
    must_run(restored.root, "predict", str(image), "--out", str(tmp_path / "out"))
    store = open_tracking_store(restored.root, restored.data, 5)
    known = [run.info.run_id for run in store.client.search_runs([store.experiment_id])]
    known = [run for run in known if run in runs]  # the newest first, which may lack its file
    assert known
    assert all(store.client.list_artifacts(run) for run in known[1:])
