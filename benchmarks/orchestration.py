"""What Prefect costs over plain DVC: `python benchmarks/orchestration.py [runs]`.

In a checkout in which everything has run (`make run`): `dvc repro` and `hgmnet flow training` in
turn, nothing changed. The stages themselves cost the same by either way, so what differs is the
orchestration: Prefect's imports and calls, and a process of DVC for each stage. Prefect's server is
started beforehand. Bound: 25 s.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from pipelines.flows import server

ROOT = Path(__file__).resolve().parents[1]
BOUND_S = 25.0


def main() -> None:
    """Measure, print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    words = [["dvc", "repro"], ["pipelines", "flow", "training"]]
    with server.running(ROOT):
        timed(words[1])  # the server's first run is slower
        pairs = [tuple(timed(one) for one in words) for _ in range(runs)]
    plain, flow = (statistics.median(column) for column in zip(*pairs, strict=True))
    cost = statistics.median(b - a for a, b in pairs)
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True)
    print(f"commit {commit.strip()}, {os.cpu_count()} cores, {runs} runs in turn, medians")
    print(
        f"dvc repro {plain:.1f} s, flow {flow:.1f} s, difference {cost:.1f} s (bound {BOUND_S:g})"
    )


def timed(words: list[str]) -> float:
    """Seconds that `python -m <words>` takes, which must end well."""
    start = time.monotonic()
    command = [sys.executable, "-m", *words]
    env = os.environ | {"DVC_NO_ANALYTICS": "1"}
    subprocess.run(command, cwd=Path.cwd(), check=True, capture_output=True, env=env)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
