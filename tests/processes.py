"""Our command in a process of its own, and what runs in a folder."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command(root: Path, *words: str) -> str:
    """What `hgmnet <words>` printed, which must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", *words],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def working_below(folder: Path) -> list[int]:
    """The living processes whose current folder is this or lies below."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if Path(entry, "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:  # gone, a zombie, or not ours
            continue
    return found
