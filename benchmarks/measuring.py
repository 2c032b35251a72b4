"""What the speed benchmarks share: the machine in a line, its peak, turns, random stores."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from hgmnet.data.prepared import PreparedDataset, PreparedImage

ROOT = Path(__file__).resolve().parents[1]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class Clock:
    """Seconds a unit of work took, by the wall and by this process's CPUs; a pair a turn."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self, work: Callable[[], object], units: int) -> None:
        """Time `work`, which does so many units."""
        start = now()
        work()
        self.note(start, units)

    def note(self, start: tuple[float, float], units: int) -> None:
        """Note what has passed since `start`."""
        end = now()
        self.wall.append((end[0] - start[0]) / units)
        self.cpu.append((end[1] - start[1]) / units)


def now() -> tuple[float, float]:
    """Wall and CPU time in s, once the device is idle."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def in_turn(works: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Clock]:
    """Time each work again and again, in turn, for so long; each has run once before."""
    clocks = {name: Clock() for name in works}
    for work in works.values():
        work()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(clocks.values())).wall) < 3:
        for name, work in works.items():
            clocks[name].measure(work, 1)
    return clocks


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


def ratio(first: list[float], second: list[float]) -> str:
    """How many times faster the first is: medians, and the quartiles over the turns."""
    by_turn = sorted(b / a for a, b in zip(first, second, strict=False))
    low, _, high = statistics.quantiles(by_turn, n=4)
    return f"{median(second) / median(first):.2f} ({low:.2f} to {high:.2f})"


def head_line() -> str:
    """Commit, date, versions and machine."""
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.check_output(git, cwd=ROOT, text=True).strip()
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else _cpu()
    return (
        f"Commit {commit}, {datetime.now(UTC):%Y-%m-%d}; torch {torch.__version__}, {name}, "
        f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} before."
    )


def step_flops(step: Callable[[], object]) -> int:
    """Floating-point operations of a step: those of convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def peak_flops(dtype: torch.dtype) -> float:
    """Operations a second that a large product of matrices reaches here; the best of 10."""
    side = 8192 if DEVICE.type == "cuda" else 1536
    a, b = (torch.randn(side, side, dtype=dtype, device=DEVICE) for _ in range(2))
    clock = Clock()
    for _ in range(12):
        clock.measure(lambda: a @ b, 1)
    return 2 * side**3 / min(clock.wall[2:])


def peak_memory() -> int:
    """The most bytes that this process has had: of the GPU's memory, else resident (Linux; else 0).

    Not `ru_maxrss`: a child starts with its parent's.
    """
    if DEVICE.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


def memory_alone(script: str, name: str) -> int:
    """Peak memory of a child that runs one contestant alone, as this command was called."""
    command = [sys.executable, script, *sys.argv[1:], "--alone", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.splitlines()[-1])


def random_store(count: int, side: int, classes: tuple[str, ...]) -> PreparedDataset:
    """Random images, a square lesion in each; one in eight in val."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, side, side), dtype=np.uint8)
    masks = np.zeros_like(images)
    masks[:, side // 4 : side // 2, side // 4 : side // 2] = 1
    entries = tuple(
        entry(i, classes[i % len(classes)], "val" if i % 8 == 7 else "train") for i in range(count)
    )
    return PreparedDataset(images, masks, entries)


def entry(i: int, label: str, split: str) -> PreparedImage:
    """An entry of a made-up image."""
    known = {"pixel_sha256": f"{i:064x}", "group": str(i), "height": 1, "width": 1, "masks": ""}
    return PreparedImage(image=f"{label}/{i}.png", label=label, split=split, **known)


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next((s.split(":")[1].strip() for s in text.splitlines() if "model name" in s), "CPU")
