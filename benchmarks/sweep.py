"""Train the cells of a plan one after the other, and go on where it stopped.

    python benchmarks/sweep.py benchmarks/sweep.yaml HOME --minutes 110

HOME holds `pack<side>` (benchmarks/pack.py) for each image side. recipe.py writes the cells below
HOME/cells/<trial>: `fold<K>.csv`, one row per image. A cell that is there is not trained again; an
interrupted one resumes from its last epoch. No cell starts after `--minutes`; one that takes longer
than `--limit` minutes is stopped and resumes with the next call. Each attempt adds a line to
HOME/attempts.jsonl: command, commit, CPU seconds. `python benchmarks/trials.py HOME/cells`
compares the trials.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent


class Cell(NamedTuple):
    """One training: a trial's settings on one fold."""

    trial: str
    fold: int
    folds: int
    profile: str
    side: int
    changes: list[str]


def main() -> None:
    """Run the plan within the time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("home", type=Path)
    parser.add_argument("--minutes", type=float, default=110)
    parser.add_argument("--limit", type=float, default=30)
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    try:
        with FileLock(args.home / "lock", timeout=0):
            for cell in cells(args.plan):
                if not done(cell, args.home) and time.monotonic() < end:
                    attempt(cell, args.home, args.limit)
    except Timeout:
        sys.exit(f"another sweep trains in {args.home}; wait for it")


def cells(plan: Path) -> Iterator[Cell]:
    """The plan's cells, in its order; settings of a trial replace those of `base`."""
    tree = YAML(typ="safe", pure=True).load(plan)
    for name, own in tree["trials"].items():
        known = tree["base"] | own
        changes = [f"{key}={value}" for key, value in (tree["set"] | known.get("set", {})).items()]
        for fold in known["train"]:
            yield Cell(name, fold, known["folds"], known["profile"], known["side"], changes)


def done(cell: Cell, home: Path) -> bool:
    """Whether the cell's rows are there; exits if they were made with other settings."""
    about = home / "cells" / cell.trial / f"fold{cell.fold}.json"
    if not about.exists():
        return False
    if json.loads(about.read_text())["changes"] != settings(cell):
        sys.exit(f"{about} was trained with other settings; give the trial another name")
    return True


def settings(cell: Cell) -> list[str]:
    """The words behind recipe.py's `--set`."""
    return [f"prepare.side={cell.side}", *cell.changes]


def attempt(cell: Cell, home: Path, limit: float) -> None:
    """Train the cell in a process of its own, on one thread and with low priority."""
    place = home / "cells"
    words = [
        *(sys.executable, str(HERE / "recipe.py"), str(home / f"pack{cell.side}"), str(place)),
        *("fold", str(cell.fold), "--folds", str(cell.folds), "--name", cell.trial),
        *("--profile", cell.profile, "--set", *settings(cell)),
    ]
    (place / cell.trial).mkdir(parents=True, exist_ok=True)
    described = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.check_output(described, cwd=HERE, text=True).strip()
    began, used = time.monotonic(), cpu_seconds()
    with (place / cell.trial / f"fold{cell.fold}.log").open("a") as log:
        try:
            status = subprocess.run(
                ["nice", "-n", "19", *words], stdout=log, stderr=log, timeout=60 * limit,
                env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            status = 124
    line = {
        "trial": cell.trial, "fold": cell.fold, "status": status, "done": done(cell, home),
        "command": " ".join(words[1:]),
        "wall": round(time.monotonic() - began), "cpu": round(cpu_seconds() - used),
        "when": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit,
    }  # fmt: skip
    with (home / "attempts.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    # Lightning ends with status 0 after SIGTERM, so the status alone is no sign
    how = "done" if line["done"] else f"not done, status {status}"
    print(f"{cell.trial}, fold {cell.fold}: {how}, {line['cpu']} s of CPU", flush=True)


def cpu_seconds() -> float:
    """CPU time of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
