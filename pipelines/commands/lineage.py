"""`hgmnet lineage`: what a version was made from, and the commands that bring that back."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

UNKNOWN = "unknown"


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the version."""
    parser.add_argument("version", nargs="?", metavar="N", help="else the champion")


def run(root: Path, args: argparse.Namespace) -> None:
    """Print what it was made from, and how to have exactly that workspace again.

    Raises:
        ConfigError: there is no such version, or no champion.
    """
    from hgmnet.config import load_params
    from hgmnet.errors import ConfigError
    from pipelines.addresses import shown
    from pipelines.registry.champion import standing
    from pipelines.registry.sides import read_version
    from pipelines.registry.store import http_limits, open_store_patiently

    params = load_params(root / "params.yaml")
    name = params.registry.name
    with http_limits(timeout_s=60, retries=2):
        store = open_store_patiently(root, params.data.name)
        number = args.version or standing(store, name).champion
        if not number:
            raise ConfigError(f"{name} has no champion yet; say which version: hgmnet lineage N")
        tags = dict(read_version(store, name, number).tags)
    print(f"{name} version {number}\n")
    print("\n".join(_facts(tags)))
    print("\n".join(["", *_way_back(root, shown(store.uri), tags)]))


def _facts(tags: Mapping[str, str]) -> Iterator[str]:
    from pipelines.summary import details

    def tag(name: str) -> str:
        return tags.get(f"hgmnet.{name}", UNKNOWN)

    dirty = ", and what was changed beside it" if tag("git_dirty") == "true" else ""
    yield details(
        [
            ("commit", tag("git_commit") + dirty),
            ("data", f"{tag('data')}, {tag('data_hash')}"),
            ("test set", f"{tag('test_sha')}, opening {tag('opening')}"),
            ("stages", f"dvc.lock from ingest to report, {tag('dvc_lock_sha256')}"),
            ("training", f"fingerprint {tag('fingerprint')}"),
            ("model", tag("model")),
            ("gate", f"{tag('gate')}, gate.json {tag('gate_sha256')}"),
            ("change plan", f"pccp.yaml {tag('pccp_sha256')}"),
            ("MLflow run", tag("decision_run")),
        ]
    )


def _way_back(root: Path, uri: str, tags: Mapping[str, str]) -> Iterator[str]:
    """Commands for a shell; the run holds params.yaml, dvc.lock, split and evidence in place."""
    from shlex import quote

    from pipelines.addresses import shown
    from pipelines.lineage import origin

    commit = tags.get("hgmnet.git_commit", UNKNOWN)
    if commit == UNKNOWN:
        yield "It was made outside of git: its code can't be brought back, only what the run holds."
    if tags.get("hgmnet.git_dirty") == "true":
        yield "The tree had changes that no commit holds: its code comes back without them."
    yield "To have its workspace again, images and weights out of DVC's remote:\n"
    folder = f"version-{tags.get('hgmnet.model', UNKNOWN)[:8]}"
    yield f"git clone {quote(shown(origin(root)))} {folder} && cd {folder}"
    if commit != UNKNOWN:
        yield f"git checkout -q {commit}"
    run = tags.get("hgmnet.decision_run", UNKNOWN)
    yield f"MLFLOW_TRACKING_URI={quote(uri)} mlflow artifacts download -r {run} -d ."
    yield "dvc pull --allow-missing"
    yield "dvc status report              # says that nothing has changed"
