"""Faults in who decides which version serves: what is carried out, undone, or believed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd
import pytest

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, HgmnetError
from pipelines.artifacts.paths import Workspace
from pipelines.promotion.promote import Request, open_comparer, promote
from pipelines.registry import lock, verification
from pipelines.registry.aliases import ChangedError, PromotionDecision, decide, registry_state
from pipelines.registry.history import DecisionRecord, append
from pipelines.registry.tracking_store import TrackingStore, open_tracking_store
from pipelines.registry.versions import find_version
from pipelines.stages import register
from tests.shared import give_mlflow_db
from tests.three_versions import NAME, give_three_versions
from tests.tiny_repository import judge, make_model, make_repository

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
MODEL = "hgmnet-made-up"
PAUSING = Path(__file__).resolve().parents[1] / "pausing_promotion.py"


@pytest.fixture
def store(tmp_path: Path) -> TrackingStore:
    """A registered model with three versions, of which 1 serves by a decision."""
    give_mlflow_db(tmp_path)
    store = open_tracking_store(tmp_path, "phantom", 5)
    store.client.create_registered_model(MODEL)
    for _ in range(3):
        store.client.create_model_version(MODEL, source="s3://nowhere/model")
    decide(
        store, MODEL, "", PromotionDecision("promoted", "1", "1", anchor="1", reason="the first")
    )
    return store


def test_a_decision_that_was_cut_short_is_carried_out_by_the_next(store: TrackingStore) -> None:
    leave_unfinished(store, number=2, previous=registry_state(store, MODEL).head)
    with pytest.raises(ChangedError):
        decide(store, MODEL, "1", PromotionDecision("promoted", "3", "3", "3", "next"))
    assert registry_state(store, MODEL).champion == "2"


@pytest.mark.parametrize(("action", "version"), [("promoted", "3"), ("rolled back", "1")])
@pytest.mark.parametrize(
    "forged", [{"number": 99}, {"previous": "nonsense"}], ids=["number", "previous"]
)
def test_a_forged_decision_moves_nothing(
    store: TrackingStore, action: str, version: str, forged: dict[str, object]
) -> None:
    good = {"number": 2, "previous": registry_state(store, MODEL).head}
    leave_unfinished(store, **(good | forged))
    with suppress(HgmnetError):
        by_hand = PromotionDecision(action, version, version, version, "next")
        decide(store, MODEL, "1", by_hand, repair=action == "rolled back")
    now = registry_state(store, MODEL)
    assert "2" not in {now.champion, now.anchor}


@dataclass
class Paused:
    """A process that has written the decision for version 2, and stands still before it acts."""

    process: subprocess.Popen[str]
    pid: int

    def wake(self) -> int:
        """Let it go on to its end; its exit status."""
        os.kill(self.pid, signal.SIGCONT)
        return self.process.wait(60)


@pytest.fixture
def paused(
    store: TrackingStore, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Paused]:
    words = [sys.executable, "-P", str(PAUSING), str(tmp_path), MODEL, str(request.param)]
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=env, **kept) as process:
        line = process.stdout.readline()
        if not line.strip().isdecimal():
            raise RuntimeError(process.stderr.read())
        made = Paused(process, int(line))
        try:
            yield made
        finally:
            if process.poll() is None:
                os.kill(made.pid, signal.SIGKILL)


@pytest.mark.parametrize("paused", [300.0], indirect=True)
def test_a_promotion_that_paused_is_carried_out_where_nobody_came_between(
    store: TrackingStore, paused: Paused
) -> None:
    assert registry_state(store, MODEL).champion == "1"
    assert paused.wake() == 0
    assert registry_state(store, MODEL).champion == "2"


@pytest.mark.parametrize("paused", [2.0], indirect=True)
def test_a_rollback_is_not_undone_by_a_promotion_that_paused(
    store: TrackingStore, paused: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "STALE_S", 2.0)
    back = PromotionDecision("rolled back", "1", "1", "1", "an incident")
    refused = False
    try:
        decide(store, MODEL, "1", back, repair=True)
    except ConfigError:
        refused = True
    paused.wake()
    assert refused or registry_state(store, MODEL).champion == "1"


@pytest.fixture
def evidence(tmp_path: Path) -> tuple[Workspace, TrackingStore, Path]:
    """A repository where 2 serves and 3, which is like 2, waits; and what 3 said of each image."""
    workspace = give_three_versions(tmp_path / "repository")
    promote(open_comparer(workspace.root, None), Request("2"))
    store = open_tracking_store(workspace.root, "phantom", 5)
    run = store.client.get_run(find_version(store, NAME, "3").tags["hgmnet.decision_run"])
    folder = Path(url2pathname(urlsplit(run.info.artifact_uri).path))
    return workspace, store, folder / workspace.per_image.relative_to(workspace.root)


def test_what_was_recorded_decides(evidence: tuple[Workspace, TrackingStore, Path]) -> None:
    workspace, store, table = evidence
    assert registry_state(store, NAME).champion == "2"
    assert (pd.read_csv(table)["served_fn"] > 0).any()
    outcome, _ = promote(open_comparer(workspace.root, None), Request("3"))
    assert outcome.resolve.verdict == "not worse"
    assert registry_state(store, NAME).champion == "2"


def test_evidence_that_was_changed_promotes_nobody(
    evidence: tuple[Workspace, TrackingStore, Path],
) -> None:
    workspace, store, table = evidence
    rows = pd.read_csv(table, keep_default_na=False)
    test = rows["split"] == "test"
    rows.loc[test, "served_tp"] += rows.loc[test, "served_fn"]
    rows.loc[test, ["served_fp", "served_fn"]] = 0
    rows.to_csv(table, index=False)
    with suppress(HgmnetError):
        promote(open_comparer(workspace.root, None), Request("3"))
    assert registry_state(store, NAME).champion == "2"


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A model that passed its gate, and is not registered."""
    monkeypatch.setattr(verification, "verify", lambda *_: None)  # a process that takes seconds
    return make_repository(tmp_path / "repository")


def test_a_model_is_registered_by_its_own_verdict(judged: Workspace) -> None:
    registered(judged)
    assert versions(judged) == ["1"]
    make_model(judged, seed=1)
    judge(judged, "failed")
    assert "lesion Dice 0.600 < 0.7" in registered(judged)
    assert versions(judged) == ["1"]


def test_the_verdict_on_another_model_registers_nothing(judged: Workspace, tmp_path: Path) -> None:
    shutil.copy(judged.gate, tmp_path / "gate.json")
    make_model(judged, seed=1)
    judge(judged, "failed")
    shutil.copy(tmp_path / "gate.json", judged.gate)
    registered(judged)
    assert versions(judged) == []


def test_a_verdict_whose_checks_failed_registers_nothing(judged: Workspace) -> None:
    gate = json.loads(judged.gate.read_text())
    for check in gate["checks"]:
        check["passed"] = False
    judged.gate.write_text(json.dumps(gate))
    registered(judged)
    assert versions(judged) == []


def leave_unfinished(store: TrackingStore, **where: object) -> None:
    """A decision for version 2, written down as by a process that died before the aliases moved."""
    entry = DecisionRecord(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who="x",
        host="y",
        action="promoted",
        name=MODEL,
        version="2",
        champion_before="1",
        champion="2",
        anchor="2",
        verdict="better",
        approved_by="nobody",
        reason="made up",
        taken_from="",
        evidence={},
        **where,
    )
    append(store, entry)


def registered(workspace: Workspace) -> str:
    """Run the stage; why it refused, empty where it did not."""
    params = load_params(workspace.root / "params.yaml")
    try:
        register.run(workspace.root, params.data, params.registry)
    except HgmnetError as error:
        return str(error)
    return ""


def versions(workspace: Workspace) -> list[str]:
    client = open_tracking_store(workspace.root, "phantom", 5).client
    return [str(found.version) for found in client.search_model_versions(f"name = '{NAME}'")]
