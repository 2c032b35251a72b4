"""Whether Python, the packages and the machine are what a run needs; nothing heavy is imported."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from pipelines.health import Finding

GIB = 2**30

LEAST_DISK = 1
"""GiB without which a run can't end; five times that is comfortable."""

LEAST_MEMORY = 3
"""GiB that the quickstart takes."""

_INSTALL = "python3 install.py"


def findings(root: Path) -> Iterator[Finding]:
    """Python, packages, the torch pair, device and disk."""
    if _installed("hgmnet") is None:
        says = f"hgmnet is not installed: {_INSTALL}"
        yield Finding("mend", says)
        return
    yield python()
    yield from path_python()
    yield from packages(importlib.metadata.requires("hgmnet") or (), root / "requirements.lock")
    torch, vision = _installed("torch"), _installed("torchvision")
    if torch and vision:
        yield torch_pair(torch, vision)
    yield device()
    yield disk(root)


def python() -> Finding:
    """The interpreter's version."""
    wanted = SpecifierSet(importlib.metadata.metadata("hgmnet")["Requires-Python"])
    here = ".".join(map(str, sys.version_info[:3]))
    if here in wanted:
        return Finding("ok", f"Python {here}")
    return Finding("mend", f"Python {here}; expected {wanted}: make PYTHON=python3.12")


def path_python() -> Iterator[Finding]:
    """Whether `python`, which dvc.yaml calls, is this interpreter."""
    found, folder = shutil.which("python"), Path(sys.executable).parent
    if found is None or Path(found).parent != folder:
        says = f"dvc.yaml calls `python`: {found or 'not on PATH'}, not the one in {folder}"
        yield Finding("note", f"{says}; before `dvc repro`: export PATH={folder}:$PATH")


def packages(needed: Iterable[str], lock: Path) -> Iterator[Finding]:
    """What is installed, against what is needed and against the lock.

    Args:
        needed: requirements as a package's metadata gives them; those of extras are passed over.
        lock: requirements.lock.
    """
    if not lock.is_file():
        yield Finding("mend", f"{lock} is missing: git checkout requirements.lock")
        return
    wanted = [r for r in map(Requirement, needed) if _holds(r, extra="")]
    locked = _locked(lock)
    amiss = [f for r in wanted if (f := _amiss(r, locked.get(_plain(r.name))))]
    yield from amiss
    if not amiss:
        yield Finding("ok", f"{len(wanted)} packages as requirements.lock says")


def torch_pair(torch: str, vision: str) -> Finding:
    """Whether two versions are a pair: one index marks both alike (`+cpu`), another neither."""
    requires = map(Requirement, importlib.metadata.requires("torchvision") or ())
    fits = all(r.specifier.contains(torch) for r in requires if r.name == "torch")
    pair = f"torch {torch}, torchvision {vision}"
    if fits and Version(torch).local == Version(vision).local:
        return Finding("ok", pair)
    return Finding("mend", f"{pair} are no pair; install both from one index: {_INSTALL}")


def device() -> Finding:
    """Cores, memory and GPU; the driver's own tool is asked, which needs no torch."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    gpu = _gpus() or "no GPU: training runs on the CPU"
    says = f"{os.cpu_count()} cores, {memory:.1f} GiB memory, {gpu}"
    return Finding("ok" if memory >= LEAST_MEMORY else "note", says)


def disk(root: Path) -> Finding:
    """Space for DVC's cache, checkpoints and reports."""
    free = shutil.disk_usage(root).free / GIB
    says = f"{free:.1f} GiB free on the disk of {root}"
    if free < LEAST_DISK:
        return Finding("mend", f"{says}; {LEAST_DISK} GiB is needed (`dvc gc -w` frees some)")
    return Finding("ok" if free > 5 * LEAST_DISK else "note", says)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _amiss(requirement: Requirement, locked: str | None) -> Finding | None:
    installed = _installed(requirement.name)
    if installed is None or not requirement.specifier.contains(installed, prereleases=True):
        says = f"{requirement.name}{requirement.specifier} is needed, {installed or 'none'} is here"
        return Finding("mend", f"{says}: {_INSTALL}")
    if locked is not None and Version(installed).public != locked:
        says = f"{requirement.name} {installed}, where requirements.lock says {locked}"
        return Finding("note", f"{says}: {_INSTALL}")
    return None


def _locked(lock: Path) -> dict[str, str]:
    """Name to version, of the lines that hold for this Python and platform."""
    lines = re.findall(r"^[\w.-]+==[^\\\n]+", lock.read_text(encoding="utf-8"), re.MULTILINE)
    pins = [Requirement(line.strip()) for line in lines]
    return {_plain(pin.name): next(iter(pin.specifier)).version for pin in pins if _holds(pin)}


def _holds(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _plain(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _gpus() -> str:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return ", ".join(done.stdout.splitlines()) if done.returncode == 0 else ""
