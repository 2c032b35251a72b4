"""Our command in this process, where a start of Python would take longer than what it shows."""

import io
import traceback
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from pipelines.cli.main import main


@dataclass(frozen=True)
class Ended:
    """How it ended: the exit status, None where an exception came out; what it wrote."""

    status: int | None
    out: str
    err: str

    @property
    def output(self) -> str:
        """All that it wrote."""
        return self.out + self.err


def run_here(root: Path, *words: str, encoding: str = "utf-8") -> Ended:
    """`hgmnet <words>` in a repository, at a terminal of some encoding."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    err = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    with redirect_stdout(out), redirect_stderr(err), chdir(root):
        try:
            status: int | None = main(words)
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
        except Exception:
            status = None
            traceback.print_exc()
    return Ended(status, _text(out), _text(err))


def must_run(root: Path, *words: str) -> Ended:
    """The same as a step on the way to what a test is about; a failure is an error of the test."""
    ended = run_here(root, *words)
    if ended.status != 0:
        raise RuntimeError(f"hgmnet {' '.join(words)}: {ended.status}\n{ended.out}{ended.err}")
    return ended


def _text(file: io.TextIOWrapper) -> str:
    file.seek(0)
    return file.read()
