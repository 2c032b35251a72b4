"""Whether the checkout is what a run needs: git, DVC, params.yaml, the data set, MLflow, locks."""

import configparser
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from hgmnet.config import load_params
from hgmnet.errors import ConfigError
from hgmnet.pccp import load_plans
from pipelines.addresses import shown
from pipelines.health import Finding
from pipelines.processes import alive

SERVER_TIMEOUT = 3.0
"""Seconds that a tracking server has to answer."""


def findings(root: Path) -> Iterator[Finding]:
    """Every check of this file, in the order in which they are told."""
    yield git(root)
    yield dvc(root)
    yield from settings(root)
    yield from change_plan(root)
    yield tracking(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root}/mlflow.db")
    yield prefect(os.environ.get("PREFECT_API_URL"))
    yield from locks(root / ".dvc" / "tmp" / "rwlock")


def git(root: Path) -> Finding:
    """Whether what a version will be tagged with can be found again."""
    command = ["git", "-C", str(root), "status", "--porcelain"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return Finding("mend", "git is not installed")
    if done.returncode != 0:
        return Finding("mend", f"git: {' '.join(done.stderr.split())}: git init")
    changed = len(done.stdout.splitlines())
    if changed:
        return Finding("note", f"git: {changed} changes not committed; a version is tagged dirty")
    return Finding("ok", "git: everything committed")


def dvc(root: Path) -> Finding:
    """Whether DVC is set up here, and has a second place for the data."""
    if not (root / ".dvc").is_dir():
        return Finding("mend", "DVC is not set up here: dvc init")
    config = configparser.ConfigParser(interpolation=None)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    remotes = re.findall(r'remote "([^"]+)"', " ".join(config.sections()))
    if remotes:
        return Finding("ok", f"DVC, remote {', '.join(sorted(set(remotes)))}")
    return Finding(
        "note", "DVC has no remote, its cache is the only copy: dvc remote add -d NAME URL"
    )


def settings(root: Path) -> Iterator[Finding]:
    """params.yaml, and the data set that it names."""
    try:
        name = load_params(root / "params.yaml").data.name
    except ConfigError as error:
        yield Finding("mend", str(error))
        return
    yield Finding("ok", "params.yaml")
    folder = root / "data" / name
    if (folder / "raw").is_dir() or (folder / "dvc.yaml").is_file():
        yield Finding("ok", f"data set {name}")
    elif (folder / "raw.dvc").is_file():
        yield Finding("mend", f"data/{name}/raw is not here: dvc pull")
    else:
        yield Finding("mend", f"data set {name} is missing: hgmnet import {name} <folder or zip>")


def change_plan(root: Path) -> Iterator[Finding]:
    """pccp.yaml, and whether what params.yaml would train is inside it."""
    from pipelines.clauses import Design, hold_design

    try:
        plans = load_plans(root / "pccp.yaml")
    except ConfigError as error:
        yield Finding("mend", str(error))
        return
    try:
        params = load_params(root / "params.yaml")
    except ConfigError:  # told by `settings`
        return
    design = Design(params.data.name, params.data.classes, params.model, params.prepare)
    clauses = hold_design(plans, params.registry.name, design)
    outside = [clause for clause in clauses if clause.status == "breached"]
    for clause in outside:
        why = f"clause {clause.clause}: {clause.reason}; docs/gate.md"
        yield Finding("mend", f"a model of these settings would be refused by pccp.yaml, {why}")
    if not outside:
        yield Finding("ok", f"pccp.yaml, plan of {params.registry.name}")


def tracking(uri: str) -> Finding:
    """Where MLflow keeps its records; a server is asked whether it is there."""
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme == "file":
        says = f"MLflow can't keep records in {shown(uri)}"
        return Finding("mend", f"{says}; set MLFLOW_TRACKING_URI to sqlite:///... or a server")
    if scheme in {"http", "https"} and (why := _silence(shown(uri))):
        says = f"MLflow at {shown(uri)} does not answer ({why})"
        return Finding("mend", f"{says}; start it, or unset MLFLOW_TRACKING_URI")
    return Finding("ok", f"MLflow at {shown(uri)}")


def prefect(api: str | None) -> Finding:
    """Where flows are recorded; a server is asked whether it is there."""
    if not api:
        return Finding(
            "ok", "Prefect: a flow starts a server of its own, `hgmnet up` one that stays"
        )
    if why := _silence(api):
        says = f"Prefect at {shown(api)} does not answer ({why})"
        return Finding("mend", f"{says}; start it, or unset PREFECT_API_URL")
    return Finding("ok", f"Prefect at {shown(api)}")


def locks(rwlock: Path) -> Iterator[Finding]:
    """Who is at work here by DVC's own account, and what a killed process has left."""
    try:
        lock = json.loads(rwlock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError:
        yield Finding("mend", f"{rwlock} is broken; if no dvc runs here: rm {rwlock}")
        return
    holders = [*lock.get("write", {}).values()]
    holders += [info for infos in lock.get("read", {}).values() for info in infos]
    for pid, command in sorted({(info["pid"], info["cmd"]) for info in holders}):
        if alive(pid):
            says = f"`{command}` (PID {pid}) is at work here"
            yield Finding("note", f"{says}; if that process is no dvc: rm {rwlock}")
        else:
            says = f"`{command}` (PID {pid}) was killed and left its lock"
            yield Finding("note", f"{says}; the next dvc clears it")


def _silence(server: str) -> str:
    """Why a tracking server does not answer; empty where it does."""
    try:
        with urllib.request.urlopen(f"{server.rstrip('/')}/health", timeout=SERVER_TIMEOUT):  # noqa: S310
            return ""
    except urllib.error.HTTPError as error:
        return str(error) if error.code >= 500 else ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
