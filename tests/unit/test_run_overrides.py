"""A profile for one run: put in, put back, whatever happens; and one run at a time."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from pipelines.operations.run_overrides import alone, experiment_folder, restore, with_profile

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


def test_a_profile_is_there_for_the_run_alone(root: Path) -> None:
    before = now(root)
    with alone(root, "a test"), with_profile(root, "busi-cpu"):
        assert load_params(root / "params.yaml").registry.name == "hgmnet-busi"
    assert now(root) == before
    assert not (root / ".hgmnet" / "params.journal.json").exists()


def test_an_error_within_puts_them_back_too(root: Path) -> None:
    before = now(root)
    with pytest.raises(ZeroDivisionError), alone(root, "x"), with_profile(root, "busi-cpu"):
        _ = 1 / 0
    assert now(root) == before


@pytest.mark.parametrize(("profile", "told"), [("huge", "no profile `huge`"), ("bad", "epochs")])
def test_what_is_no_profile_is_refused_and_nothing_touched(root: Path, profile, told) -> None:
    before = now(root)
    (root / "profiles" / "bad.yaml").write_text(before.replace("epochs: ", "epochs: -"))
    with alone(root, "x"), pytest.raises(ConfigError, match=told), with_profile(root, profile):
        pass
    assert now(root) == before
    assert not (root / ".hgmnet" / "params.journal.json").exists()


HOLD = """
import sys, time
from pathlib import Path
from pipelines.operations.run_overrides import alone, experiment_folder, with_profile
with alone(Path.cwd(), "a long run"), with_profile(Path.cwd(), "busi-cpu"):
    experiment_folder(Path.cwd()).mkdir(parents=True)
    print("there", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(root: Path):
    """Another process in the midst of a run with a profile; a copy for an experiment is there."""
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "there\n"
        yield process
        process.kill()


def test_a_second_run_reports_who_holds_the_checkout(root: Path, holder) -> None:
    during = now(root)
    told = rf"a long run \(process {holder.pid}, since 20.*\) is under way"
    with pytest.raises(ConfigError, match=told), alone(root, "me"):
        pass
    restore(root)  # as any command does first
    assert now(root) == during == (root / "profiles" / "busi-cpu.yaml").read_text()
    assert experiment_folder(root).exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_killed_run_the_next_command_puts_them_back(root, holder, capsys, number) -> None:
    before = (root / "profiles" / "quickstart.yaml").read_text()
    assert now(root) != before
    holder.send_signal(number)
    holder.wait()
    assert now(root) != before
    restore(root)
    assert now(root) == before
    assert not experiment_folder(root).exists()
    assert "put back as it was before a run that died" in capsys.readouterr().err
    with alone(root, "the next"):
        assert now(root) == before


def test_what_somebody_wrote_meanwhile_stays(root: Path, holder, capsys) -> None:
    mine = now(root) + "# mine\n"
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
