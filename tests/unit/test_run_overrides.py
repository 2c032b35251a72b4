"""Settings for one run: put in, put back, whatever happens; and one run at a time."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from pipelines.operations.run_overrides import alone, overridden, restore

PROFILES = Path(__file__).resolve().parents[2] / "profiles"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "profiles").mkdir()
    for name in ("quickstart", "busi-cpu"):
        text = (PROFILES / f"{name}.yaml").read_text()
        (tmp_path / "profiles" / f"{name}.yaml").write_text(text)
    (tmp_path / "params.yaml").write_text((PROFILES / "quickstart.yaml").read_text())
    return tmp_path


def now(root: Path) -> str:
    return (root / "params.yaml").read_text()


def test_the_settings_are_there_for_the_run_alone(root: Path) -> None:
    before = now(root)
    changes = {"train.epochs": 3, "train.learning_rate": 1e-4, "prepare.fit": "stretch"}
    with alone(root, "a test"), overridden(root, None, changes):
        params = load_params(root / "params.yaml")
        assert (params.train.epochs, params.train.learning_rate) == (3, 1e-4)
        assert params.prepare.fit == "stretch"
    assert now(root) == before
    assert not (root / ".hgmnet" / "params.journal.json").exists()


def test_a_profile_takes_the_place_of_params(root: Path) -> None:
    before = now(root)
    with alone(root, "a test"), overridden(root, "busi-cpu", {"data.name": "clinic"}):
        params = load_params(root / "params.yaml")
        assert (params.data.name, params.registry.name) == ("clinic", "hgmnet-busi")
    assert now(root) == before


def test_an_error_within_puts_them_back_too(root: Path) -> None:
    before = now(root)
    with pytest.raises(ZeroDivisionError), alone(root, "x"), overridden(root, "busi-cpu", {}):
        _ = 1 / 0
    assert now(root) == before


@pytest.mark.parametrize(
    ("profile", "changes", "told"),
    [
        ("huge", {}, "no profile `huge`; there are: busi-cpu, quickstart"),
        (None, {"train.epoch": 3}, "train.epoch is not a setting of params.yaml"),
        (None, {"trains.epochs": 3}, "trains.epochs is not a setting"),
        (None, {"train.epochs.x": 3}, "train.epochs.x is not a setting"),
        (None, {"train.epochs": -3}, "train.epochs"),
        (None, {"train": 3}, "train"),
    ],
)
def test_what_is_no_setting_is_told_and_nothing_touched(root, profile, changes, told) -> None:
    before = now(root)
    with (
        alone(root, "x"),
        pytest.raises(ConfigError, match=told),
        overridden(root, profile, changes),
    ):
        pass
    assert now(root) == before
    assert not (root / ".hgmnet" / "params.journal.json").exists()


HOLD = """
import sys, time
from pathlib import Path
from pipelines.operations.run_overrides import alone, overridden
with alone(Path.cwd(), "a long run"), overridden(Path.cwd(), None, {"train.epochs": 3}):
    print("there", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(root: Path):
    """Another process in the midst of a run with settings of its own."""
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "there\n"
        yield process
        process.kill()


def test_a_second_run_is_told_who_holds_the_checkout(root: Path, holder) -> None:
    during = now(root)
    told = rf"a long run \(process {holder.pid}, since 20.*\) is under way"
    with pytest.raises(ConfigError, match=told), alone(root, "me"):
        pass
    restore(root)  # as any command does first
    assert now(root) == during
    assert "epochs: 3\n" in during


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_killed_run_the_next_command_puts_them_back(root, holder, capsys, number) -> None:
    before = (root / "profiles" / "quickstart.yaml").read_text()
    assert now(root) != before
    holder.send_signal(number)
    holder.wait()
    assert now(root) != before
    restore(root)
    assert now(root) == before
    assert f"before a run that died (process {holder.pid})" in capsys.readouterr().err
    with alone(root, "the next"):
        assert now(root) == before


def test_what_somebody_wrote_meanwhile_stays(root: Path, holder, capsys) -> None:
    mine = now(root).replace("epochs: 3\n", "epochs: 5\n")
    (root / "params.yaml").write_text(mine)
    holder.kill()
    holder.wait()
    restore(root)
    assert now(root) == mine
    assert "was edited during a run" in capsys.readouterr().err
    kept = (root / ".hgmnet" / "params.before.yaml").read_text()
    assert kept == (root / "profiles" / "quickstart.yaml").read_text()
    restore(root)
    assert now(root) == mine
