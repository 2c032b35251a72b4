"""How long the quickstart takes and how much memory: `python benchmarks/quickstart.py [seed ...]`.

Clones the committed tree into a temporary folder, runs `dvc repro` there (with each seed given,
for phantom, split, training and all; without one, the seeds as committed), then again with nothing
changed, and prints a table. Peak memory is the largest sum of resident sizes over the process tree,
sampled every 0.2 s; shared pages are counted in each process.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
BOUNDS = {"first": 180.0, "again": 15.0, "help": 0.5, "memory": 3.0}


def main() -> None:
    """Measure, print."""
    seeds = [int(word) for word in sys.argv[1:]] or [None]
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True)
    print(f"commit {commit.strip()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    print("| seeds | dvc repro, s | again, s | peak, GiB | lesion Dice | accuracy | gate |")
    print("|---|---|---|---|---|---|---|")
    for seed in seeds:
        print(row(seed), flush=True)
    seconds = min(timed([sys.executable, "-m", "pipelines", "--help"], ROOT)[0] for _ in range(5))
    print(f"\n`python -m pipelines --help`: {seconds:.2f} s (best of 5)")
    print(f"Bounds: {BOUNDS}")


def row(seed: int | None) -> str:
    """One run in a fresh clone, and once more with nothing changed."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        if seed is not None:
            reseed(clone / "params.yaml", seed)
        repro = [sys.executable, "-m", "dvc", "repro"]
        first, memory, said = timed(repro, clone)
        again, _, _ = timed(repro, clone)
        try:
            gate = json.loads((clone / "reports/gate.json").read_text())["status"]
            metrics = json.loads((clone / "reports/evaluation/metrics.json").read_text())["test"]
        except FileNotFoundError:
            sys.exit(said)
        shown = [figure(metrics[name]) for name in ("lesion_dice", "accuracy")]
        label = "as committed" if seed is None else str(seed)
        return (
            f"| {label} | {first:.0f} | {again:.1f} | {memory:.2f} | {' | '.join(shown)} | {gate} |"
        )


def reseed(path: Path, seed: int) -> None:
    """Give every random part this seed."""
    yaml = YAML()
    params = yaml.load(path)
    for section in ("phantom", "split", "train"):
        params[section]["seed"] = seed
    yaml.dump(params, path)


def figure(known: dict[str, float]) -> str:
    """A figure with its interval."""
    return f"{known['value']:.3f} [{known['low']:.3f}, {known['high']:.3f}]"


def timed(command: list[str], folder: Path) -> tuple[float, float, str]:
    """Wall clock in s, peak memory in GiB, and what was printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peak = [0]
    watch = threading.Thread(target=sample, args=(process, peak))
    watch.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - start
    watch.join()
    return seconds, peak[0] / 2**30, output


def sample(process: subprocess.Popen[str], peak: list[int]) -> None:
    """Keep the largest resident size of a process and all below it (Linux; else 0)."""
    while process.poll() is None:
        peak[0] = max(peak[0], resident(process.pid))
        time.sleep(0.2)


def resident(pid: int) -> int:
    """Bytes in memory of a process and all below it."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children)


if __name__ == "__main__":
    main()
