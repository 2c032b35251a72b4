"""`hgmnet doctor`: check the installation and the checkout for a run's needs."""

import configparser
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from hgmnet.config.change_plan import load_plans
from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, HgmnetError, redact_credentials
from pipelines.artifacts.paths import Workspace
from pipelines.registry import database
from pipelines.system.processes import alive


@dataclass(frozen=True)
class HealthCheck:
    """One check's result in a line; only `mend` blocks a run, and its line has the next step."""

    status: Literal["ok", "note", "mend"]
    says: str


SERVER_TIMEOUT = 3.0
"""Time limit for a tracking server's answer, in seconds."""


def checkout_findings(root: Path) -> Iterator[HealthCheck]:
    """Run every check of the checkout, in the order of output."""
    yield git(root)
    yield dvc(root)
    yield from settings(root)
    yield from change_plan(root)
    uri = database.absolute(root, os.environ.get("MLFLOW_TRACKING_URI") or database.DEFAULT)
    yield (store := tracking(uri))
    if store.status == "ok":
        yield from (notes := [*moved(root, uri)])
        file = database.file_of(uri)
        if not notes and (file is None or file.exists()):  # opening it would correct, or create it
            yield from champion(root)
    yield prefect(os.environ.get("PREFECT_API_URL"))
    yield from locks(root / ".dvc" / "tmp" / "rwlock")


def git(root: Path) -> HealthCheck:
    """Check that git is there, and that everything is committed."""
    command = ["git", "-C", str(root), "status", "--porcelain"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return HealthCheck("mend", "git is not installed")
    if done.returncode != 0:
        return HealthCheck("mend", f"git: {' '.join(done.stderr.split())}: git init")
    if changed := len(done.stdout.splitlines()):
        says = f"git: {changed} changes not committed; a version is tagged dirty"
        return HealthCheck("note", says)
    return HealthCheck("ok", "git: everything committed")


def dvc(root: Path) -> HealthCheck:
    """Check that DVC is set up, and has a remote."""
    if not (root / ".dvc").is_dir():
        return HealthCheck("mend", "DVC is not set up here: dvc init")
    config = configparser.ConfigParser(interpolation=None)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    remotes = re.findall(r'remote "([^"]+)"', " ".join(config.sections()))
    if remotes:
        return HealthCheck("ok", f"DVC, remote {', '.join(sorted(set(remotes)))}")
    says = "DVC has no remote, its cache is the only copy: dvc remote add -d NAME URL"
    return HealthCheck("note", says)


def settings(root: Path) -> Iterator[HealthCheck]:
    """Check params.yaml and its data set."""
    try:
        name = load_params(root / "params.yaml").data.name
    except ConfigError as error:
        yield HealthCheck("mend", str(error))
        return
    yield HealthCheck("ok", "params.yaml")
    folder = root / "data" / name
    if (folder / "raw").is_dir() or (folder / "dvc.yaml").is_file():
        yield HealthCheck("ok", f"data set {name}")
    elif (folder / "raw.dvc").is_file():
        yield HealthCheck("mend", f"data/{name}/raw is not here: dvc pull")
    else:
        says = f"data set {name} is missing: hgmnet import {name} <folder or zip>"
        yield HealthCheck("mend", says)


def change_plan(root: Path) -> Iterator[HealthCheck]:
    """Check pccp.yaml, and that a model of params.yaml's settings is inside its plan."""
    from pipelines.gate.change_plan import Design, check_design

    try:
        plans = load_plans(root / "pccp.yaml")
    except ConfigError as error:
        yield HealthCheck("mend", str(error))
        return
    try:
        params = load_params(root / "params.yaml")
    except ConfigError:  # reported by `settings`
        return
    design = Design(params.data.name, params.data.classes, params.model, params.prepare)
    clauses = check_design(plans, params.registry.name, design)
    outside = [clause for clause in clauses if clause.status == "breached"]
    for clause in outside:
        why = f"clause {clause.clause}: {clause.reason}; docs/gate.md"
        yield HealthCheck("mend", f"a model of these settings would be refused by pccp.yaml, {why}")
    if not outside:
        yield HealthCheck("ok", f"pccp.yaml, plan of {params.registry.name}")


def tracking(uri: str) -> HealthCheck:
    """Check MLflow's address, and that a server answers or a database fits this MLflow."""
    (scheme, separator, _), shown = uri.partition("://"), redact_credentials(uri)
    if not separator or scheme == "file":
        says = f"MLflow can't keep records in {shown}"
        return HealthCheck("mend", f"{says}; set MLFLOW_TRACKING_URI to sqlite:///... or a server")
    if scheme in {"http", "https"}:
        if why := _silence(shown):
            says = f"MLflow at {shown} does not answer ({why})"
            return HealthCheck("mend", f"{says}; start it, or unset MLFLOW_TRACKING_URI")
    elif why := _database_fault(uri):
        return HealthCheck("mend", f"MLflow at {shown} can't be used: {why}")
    return HealthCheck("ok", f"MLflow at {shown}")


def moved(root: Path, uri: str) -> Iterator[HealthCheck]:
    """Report artifact addresses of the folder in which the checkout was before."""
    for old in database.former_folders(root, uri):
        says = f"MLflow's database has artifact addresses in {database.path_of(old)}"
        yield HealthCheck("note", f"{says}; the next command that opens it corrects them")


def champion(root: Path) -> Iterator[HealthCheck]:
    """Check the history, and that the champion is the model that was registered."""
    from pipelines.registry.aliases import check, registry_state
    from pipelines.registry.loading import load_version
    from pipelines.registry.tracking_store import STORE_ERRORS, connect_with_retries

    try:
        params = load_params(root / "params.yaml")
    except ConfigError:  # reported by `settings`
        return
    name, cache = params.registry.name, Workspace(root, params.data.name).versions
    try:
        store = connect_with_retries(root, params.data.name)
        if not store.client.search_registered_models(f"name = '{name}'"):
            return
        now = registry_state(store, name)
        if fault := check(now):
            yield HealthCheck("mend", f"the history of {name} is broken: {fault}: hgmnet history")
        elif now.champion:
            found = load_version(store, name, None, cache)
            yield HealthCheck("ok", f"{name} version {found.number} serves, code {found.code}")
    except (HgmnetError, *STORE_ERRORS) as error:
        yield HealthCheck("mend", redact_credentials(str(error).split("\n")[0]))


def prefect(api: str | None) -> HealthCheck:
    """Check Prefect's address, and that a server answers there."""
    if not api:
        says = "Prefect: a flow starts a server of its own, `hgmnet up` one that stays"
        return HealthCheck("ok", says)
    if why := _silence(api):
        says = f"Prefect at {redact_credentials(api)} does not answer ({why})"
        return HealthCheck("mend", f"{says}; start it, or unset PREFECT_API_URL")
    return HealthCheck("ok", f"Prefect at {redact_credentials(api)}")


def locks(rwlock: Path) -> Iterator[HealthCheck]:
    """List the processes in DVC's lock file, running or killed."""
    try:
        lock = json.loads(rwlock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError:
        yield HealthCheck("mend", f"{rwlock} is broken; if no dvc runs here: rm {rwlock}")
        return
    holders = [*lock.get("write", {}).values()]
    holders += [info for infos in lock.get("read", {}).values() for info in infos]
    for pid, command in sorted({(info["pid"], info["cmd"]) for info in holders}):
        says = "was killed and left its lock; the next dvc clears it"
        if alive(pid):
            says = f"is at work here; if that process is no dvc: rm {rwlock}"
        yield HealthCheck("note", f"`{command}` (PID {pid}) {says}")


def _silence(server: str) -> str:
    """Reason why a server does not answer; empty where it does."""
    try:
        with urllib.request.urlopen(f"{server.rstrip('/')}/health", timeout=SERVER_TIMEOUT):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return str(error) if error.code >= 500 else ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _database_fault(uri: str) -> str:
    """Reason why MLflow can't use a database; empty where it can."""
    try:
        if database.file_of(uri):
            return database.schema_fault(uri)
        from pipelines.registry.tracking_store import call_with_timeout

        return call_with_timeout(SERVER_TIMEOUT, lambda: database.schema_fault(uri))
    except Exception as error:  # each driver raises its own
        return redact_credentials(str(error).split("\n")[0])


GIB = 2**30
LEAST_DISK = 1
"""Least free disk space for a run, in GiB; below five times that is a note."""
_INSTALL = "python3 install.py"


def installation_findings(root: Path) -> Iterator[HealthCheck]:
    """Check Python, packages, the torch pair, device and disk."""
    if _installed("hgmnet") is None:
        yield HealthCheck("mend", f"hgmnet is not installed: {_INSTALL}")
        return
    yield python()
    yield from path_python()
    yield from packages(importlib.metadata.requires("hgmnet") or (), root / "requirements.lock")
    if (torch := _installed("torch")) and (vision := _installed("torchvision")):
        yield torch_pair(torch, vision)
    yield device()
    yield disk(root)


def python() -> HealthCheck:
    """Check the interpreter's version."""
    wanted = importlib.metadata.metadata("hgmnet")["Requires-Python"]
    here = platform.python_version()
    if SpecifierSet(wanted).contains(here, prereleases=True):
        return HealthCheck("ok", f"Python {here}")
    return HealthCheck("mend", f"Python {here}; expected {wanted}: make PYTHON=python3.12")


def path_python() -> Iterator[HealthCheck]:
    """Check that `python`, as in dvc.yaml, is this interpreter."""
    found, folder = shutil.which("python"), Path(sys.executable).parent
    if found is None or Path(found).parent != folder:
        says = f"dvc.yaml calls `python`: {found or 'not on PATH'}, not the one in {folder}"
        yield HealthCheck("note", f"{says}; before `dvc repro`: export PATH={folder}:$PATH")


def packages(needed: Iterable[str], lock: Path) -> Iterator[HealthCheck]:
    """Compare installed packages with the needed ones (without extras) and the lock file."""
    if not lock.is_file():
        yield HealthCheck("mend", f"{lock} is missing: git checkout requirements.lock")
        return
    wanted = [r for r in map(Requirement, needed) if _holds(r)]
    locked = _locked(lock)
    wrong = [f for r in wanted if (f := _wrong(r, locked.get(canonicalize_name(r.name))))]
    yield from wrong
    if not wrong:
        yield HealthCheck("ok", f"{len(wanted)} packages as requirements.lock says")


def torch_pair(torch: str, vision: str) -> HealthCheck:
    """Check that torch and torchvision fit: same local version (`+cpu`, or none) on both."""
    requires = map(Requirement, importlib.metadata.requires("torchvision") or ())
    fits = all(r.specifier.contains(torch) for r in requires if r.name == "torch")
    pair = f"torch {torch}, torchvision {vision}"
    if fits and Version(torch).local == Version(vision).local:
        return HealthCheck("ok", pair)
    return HealthCheck("mend", f"{pair} are no pair; install both from one index: {_INSTALL}")


def device() -> HealthCheck:
    """Check cores, memory (the quickstart takes 3 GiB) and GPU, with nvidia-smi: no torch."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    gpu = gpus() or "no GPU: training runs on the CPU"
    says = f"{os.cpu_count()} cores, {memory:.1f} GiB memory, {gpu}"
    return HealthCheck("ok" if memory >= 3 else "note", says)


def disk(root: Path) -> HealthCheck:
    """Check free disk space for DVC's cache, checkpoints and reports."""
    free = shutil.disk_usage(root).free / GIB
    says = f"{free:.1f} GiB free on the disk of {root}"
    if free < LEAST_DISK:
        return HealthCheck("mend", f"{says}; {LEAST_DISK} GiB is needed (`dvc gc -w` frees some)")
    return HealthCheck("ok" if free > 5 * LEAST_DISK else "note", says)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _wrong(requirement: Requirement, locked: str | None) -> HealthCheck | None:
    installed = _installed(requirement.name)
    if installed is None or not requirement.specifier.contains(installed, prereleases=True):
        says = f"{requirement.name}{requirement.specifier} is needed, {installed or 'none'} is here"
        return HealthCheck("mend", f"{says}: {_INSTALL}")
    if locked is not None and Version(installed).public != locked:
        says = f"{requirement.name} {installed}, where requirements.lock says {locked}"
        return HealthCheck("note", f"{says}: {_INSTALL}")
    return None


def _locked(lock: Path) -> dict[str, str]:
    """Version by name, of the lock's lines for this Python and platform."""
    lines = re.findall(r"^[\w.-]+==[^\\\n]+", lock.read_text(encoding="utf-8"), re.MULTILINE)
    pins = [pin for pin in map(Requirement, lines) if _holds(pin)]
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}


def _holds(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def gpus() -> str:
    """Names of the GPUs by nvidia-smi; empty if there is none."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return ", ".join(done.stdout.splitlines()) if done.returncode == 0 else ""
