"""What Prefect costs over plain DVC: `python benchmarks/orchestration.py [turns] [--whole]`.

`dvc repro` and `hgmnet flow training` in turn, in a checkout in which everything has run
(`make run`), nothing changed: what differs is Prefect's imports and calls, and a process of DVC for
each stage. `--whole` makes a fresh clone for each run instead, so that every stage works (and the
training tells its epochs): nearer to life, but a training's own time is noisier than what is asked.
Prefect's server is started beforehand. Bound: 25 s.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipelines.flows.prefect import server

ROOT = Path(__file__).resolve().parents[1]
BOUND_S = 25.0
PLAIN, FLOW = ["dvc", "repro"], ["pipelines", "flow", "training"]


def main() -> None:
    """Measure, print."""
    whole = "--whole" in sys.argv
    turns = next((int(word) for word in sys.argv[1:] if word.isdigit()), 5)
    with server.running(ROOT):
        timed(FLOW, ROOT)  # the server's first run is slower
        pairs = [
            tuple(in_a_clone(one) if whole else timed(one, ROOT) for one in (PLAIN, FLOW))
            for _ in range(turns)
        ]
    plain, flow = (statistics.median(column) for column in zip(*pairs, strict=True))
    cost = statistics.median(b - a for a, b in pairs)
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True)
    print(f"commit {commit.strip()}, {os.cpu_count()} cores, {'whole' if whole else 'again'}")
    print(f"medians of {turns} turns: dvc repro {plain:.1f} s, flow {flow:.1f} s")
    print(f"median of the differences {cost:.1f} s (bound {BOUND_S:g})")


def in_a_clone(words: list[str]) -> float:
    """Seconds in a fresh clone of this checkout's commit."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
        return timed(words, Path(folder))


def timed(words: list[str], checkout: Path) -> float:
    """Seconds that `python -m <words>` takes in a checkout, which must end well."""
    start = time.monotonic()
    command = [sys.executable, "-m", *words]
    env = os.environ | {"DVC_NO_ANALYTICS": "1"}
    subprocess.run(command, cwd=checkout, check=True, capture_output=True, env=env)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
