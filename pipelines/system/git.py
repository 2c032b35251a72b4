"""Run git and return its output."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hgmnet.errors import HgmnetError


def git(
    root: Path, *words: str, env: Mapping[str, str] | None = None, allowed: tuple[int, ...] = (0,)
) -> str:
    """Run git; return stdout, stripped. HgmnetError: git is missing, or a status not `allowed`."""
    own = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **(env or {})}
    try:
        done = subprocess.run(
            ["git", "-C", root, *words],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # as in file names
            check=False,
            env=own,
        )
    except FileNotFoundError:
        raise HgmnetError("git is not installed") from None
    if done.returncode not in allowed:
        said = " ".join(done.stderr.split())
        raise HgmnetError(f"`git {words[0]}` failed: {said}")
    return done.stdout.strip()
