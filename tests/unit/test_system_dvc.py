"""One DVC stage as a process group: what is streamed, how it fails, what outlives it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError, RejectedError
from pipelines.system import dvc

STAGES = """
stages:
  lines:
    cmd: 'echo first && printf "1 of 2\\r2 of 2\\n" && which python > python.txt'
    outs: [python.txt]
  configuration:
    cmd: 'echo "hgmnet: Config: no such key" >&2 && exit 2'
  rejected:
    cmd: 'echo "Rejected, not an error: lesion Dice .61 < .65" && exit 3'
  invalid:
    cmd: 'printf "hgmnet: InvalidData: a mask is grey\\nanother too\\n" && exit 4'
  crash:
    cmd: 'echo "ValueError: exited with 3 of 4" && exit 1'
  killed:
    cmd: 'kill -KILL $$'
  long:
    cmd: 'echo asleep && python -c "import time; time.sleep(600)"'
    outs: [long.txt]
  stubborn:
    cmd: 'trap "" TERM && echo asleep && sleep 601'
"""
PARENT = """
import sys
from pathlib import Path
from pipelines.system import dvc, processes
processes.GRACE_SECONDS = float(sys.argv[3])
dvc.run(Path(sys.argv[1]), sys.argv[2], lambda line: print(line, flush=True))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real DVC repository with stages that only talk, sleep and fail."""
    root = tmp_path_factory.mktemp("repository")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
    (root / "dvc.yaml").write_text(STAGES)
    return root


@pytest.fixture
def parent(repository: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that runs a stage, and wait until the stage is asleep."""
    started: list[subprocess.Popen[str]] = []

    def start(stage: str, grace_s: float = 90) -> subprocess.Popen[str]:
        """`grace_s` is longer than any test waits: only what is deaf to SIGTERM takes it."""
        command = [sys.executable, "-c", PARENT, str(repository), stage, str(grace_s)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert "asleep\n" in process.stdout
        return process

    yield start
    for process in started:
        process.kill()
        process.stdout.close()
        process.wait()
    assert gone_within(30, repository)


def working_in(folder: Path) -> list[int]:
    """The living processes whose current folder this is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if Path(entry, "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:  # gone, a zombie, or not ours
            continue
    return found


def gone_within(seconds: float, folder: Path) -> bool:
    deadline = time.monotonic() + seconds
    while working_in(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not working_in(folder)


def test_lines_come_one_by_one_and_a_bar_as_its_last_state(repository: Path) -> None:
    lines: list[str] = []
    dvc.run(repository, "lines", lines.append)
    assert "Running stage 'lines':" in lines
    assert lines.index("first") + 1 == lines.index("2 of 2")


def test_the_stage_finds_this_interpreter_as_python(repository: Path) -> None:
    dvc.run(repository, "lines", lambda _: None)
    found = Path((repository / "python.txt").read_text().strip())
    assert found == Path(sys.executable).with_name("python")


def test_an_unchanged_stage_is_not_run_again(repository: Path) -> None:
    dvc.run(repository, "lines", lambda _: None)
    lines: list[str] = []
    dvc.run(repository, "lines", lines.append)
    assert "first" not in lines


@pytest.mark.parametrize(
    ("stage", "kind", "message"),
    [
        ("configuration", ConfigError, "no such key"),
        ("rejected", RejectedError, "Rejected, not an error: lesion Dice .61 < .65"),
        ("invalid", InvalidDataError, "a mask is grey\nanother too"),
    ],
)
def test_a_stage_that_says_why_fails_with_its_own_status_and_words(
    repository: Path, stage: str, kind: type[HgmnetError], message: str
) -> None:
    with pytest.raises(kind) as raised:
        dvc.run(repository, stage, lambda _: None)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("crash", "ValueError: exited with 3 of 4"),
        ("killed", "exited with -9"),
        ("nowhere", "nowhere"),
    ],
)
def test_any_other_failure_shows_the_last_lines(repository: Path, target: str, line: str) -> None:
    with pytest.raises(HgmnetError) as raised:
        dvc.run(repository, target, lambda _: None)
    assert raised.value.exit_status == 1
    assert line in str(raised.value)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_parent(
    repository: Path, parent: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = parent("long")
    assert working_in(repository)
    os.kill(process.pid, number)
    assert gone_within(30, repository)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
def test_a_stage_deaf_to_sigterm_is_killed(
    repository: Path, parent: Callable[..., subprocess.Popen[str]]
) -> None:
    parent("stubborn", 2).kill()
    assert not gone_within(1, repository)
    assert gone_within(30, repository)


def test_a_second_run_in_the_same_repository_fails_at_once(
    repository: Path, parent: Callable[..., subprocess.Popen[str]]
) -> None:
    parent("long")
    with pytest.raises(HgmnetError, match="busy"):
        dvc.run(repository, "long", lambda _: None)


def test_after_a_kill_the_repository_works_again(
    repository: Path, parent: Callable[..., subprocess.Popen[str]]
) -> None:
    parent("long").kill()
    assert gone_within(30, repository)
    dvc.run(repository, "lines", lambda _: None)


def test_source_target_prefers_the_users_own_data(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mine"
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    assert dvc.source_target(tmp_path, "mine") == "data/mine/dvc.yaml"
    (folder / "raw.dvc").touch()
    assert dvc.source_target(tmp_path, "mine") == "data/mine/raw.dvc"


def test_a_data_set_that_is_not_here_says_import(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hgmnet import mine <folder or zip>"):
        dvc.source_target(tmp_path, "mine")


def test_a_lock_that_a_full_disk_cut_short_is_removed(repository: Path) -> None:
    lock = repository / ".dvc/tmp/rwlock"
    lock.write_text('{"read": {"some/fi')
    lines: list[str] = []
    dvc.run(repository, "lines", lines.append, force=True)
    assert "was cut short" in lines[0]
    assert "first" in lines


def test_a_stage_has_so_much_time_and_no_more(repository: Path) -> None:
    with pytest.raises(HgmnetError, match=r"was ended after 0\.025 minutes"):
        dvc.run(repository, "long", lambda _: None, limit_s=1.5)
