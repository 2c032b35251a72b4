"""Commands about one version, or two: lineage, report, publish, compare."""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.cli.options import open_registry

if TYPE_CHECKING:
    import pandas as pd

_UNKNOWN = "unknown"


def configure_lineage(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the version."""
    parser.add_argument("version", nargs="?", metavar="N", help="a version (default: champion)")
    which = parser.add_mutually_exclusive_group()
    uses = "list the versions that used this image: its path, its name, or its name at the source"
    which.add_argument("--image", metavar="X", help=uses)
    which.add_argument("--patient", metavar="P", help="list the versions that used their images")


def run_lineage(root: Path, args: argparse.Namespace) -> None:
    """Print a version's origin, and the commands that restore its workspace.

    With --image or --patient print instead which versions were made from those images.

    Raises:
        ConfigError: there is no such version, or no champion.
    """
    from hgmnet.errors import redact_credentials
    from pipelines.registry.aliases import registry_state
    from pipelines.registry.loading import resolve
    from pipelines.registry.versions import decision_run, find_version

    if args.image or args.patient:
        print("\n".join(_uses(root, args.image, args.patient)))
        return
    with open_registry(root) as registry:
        store, name = registry.store, registry.name
        number, _ = resolve(registry_state(store, name), name, args.version)
        version = find_version(store, name, number)
        run, missing = decision_run(store, version)
    found = {k.removeprefix("hgmnet."): v for k, v in version.tags.items()}
    tags = defaultdict(lambda: _UNKNOWN, found | ({} if run else {"decision_run": _UNKNOWN}))
    print(f"{name} version {number}\n\n{_facts(tags)}\n")
    if missing:
        print(f"Missing: {missing}\n")
    print("\n".join(_way_back(root, redact_credentials(store.uri), tags)))


def _uses(root: Path, image: str | None, patient: str | None) -> Iterator[str]:
    from pipelines.registry.trained_on import image_uses

    with open_registry(root) as registry:
        for use in image_uses(
            registry.store,
            registry.name,
            lambda one: (
                one.patient == patient
                if patient
                else image in {one.image, one.name, one.source_name} - {""}
            ),
        ):
            used = ", ".join(f"{name} in {split}" for name, split in use.images[:10])
            more = f", and {len(use.images) - 10} more" if len(use.images) > 10 else ""
            known = f"not known: {use.unknown}" if use.unknown else f"{used or 'none of it'}{more}"
            yield f"{registry.name} version {use.version}: {known}"


def _facts(tags: Mapping[str, str]) -> str:
    from pipelines.report.console import details

    dirty = ", and what was changed beside it" if tags["git_dirty"] == "true" else ""
    return details(
        [
            ("commit", tags["git_commit"] + dirty),
            ("data", f"{tags['data']}, {tags['data_hash']}"),
            ("test set", f"{tags['test_sha']}, evaluation {tags['opening']}"),
            ("stages", f"dvc.lock from ingest to report, {tags['dvc_lock_sha256']}"),
            ("training", f"fingerprint {tags['fingerprint']}"),
            ("model", tags["model"]),
            ("gate", f"{tags['gate']}, gate.json {tags['gate_sha256']}"),
            ("change plan", f"pccp.yaml {tags['pccp_sha256']}"),
            ("MLflow run", tags["decision_run"]),
        ]
    )


def _way_back(root: Path, uri: str, tags: Mapping[str, str]) -> Iterator[str]:
    """Yield shell commands; the run has params.yaml, dvc.lock, split and evidence."""
    from shlex import quote

    from hgmnet.errors import redact_credentials
    from pipelines.artifacts.lineage import origin

    commit = tags["git_commit"]
    if commit == _UNKNOWN:
        yield "It was made outside of git: its code can't be restored, only the run's files."
    if tags["git_dirty"] == "true":
        yield "The tree had uncommitted changes: the code is restored without them."
    yield "To restore its workspace, with images and weights from DVC's remote:\n"
    folder = f"version-{tags['model'][:8]}"
    yield f"git clone {quote(redact_credentials(origin(root)))} {folder} && cd {folder}"
    if commit != _UNKNOWN:
        yield f"git checkout -q {commit}"
    if (run := tags["decision_run"]) == _UNKNOWN:
        yield "# without its MLflow run: params.yaml, dvc.lock and split are the commit's"
    else:
        yield f"MLFLOW_TRACKING_URI={quote(uri)} mlflow artifacts download -r {run} -d ."
    yield "dvc pull --allow-missing"
    yield "dvc status report              # reports that nothing has changed"


def configure_report(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for version and predecessor."""
    parser.add_argument("--version", metavar="N", help="a version or alias (default: champion)")
    other = "compare with this version (default: the one that it replaced, else the champion)"
    parser.add_argument("--against", metavar="M", help=other)


def run_report(root: Path, args: argparse.Namespace) -> None:
    """Write the page about a version, and print its path; raises as `write_page`."""
    from pipelines.artifacts.paths import Workspace
    from pipelines.version_page.page import write_page

    with open_registry(root) as registry:
        space = Workspace(root, registry.params.data.name)
        page = write_page(registry.store, registry.params, space, args.version, args.against)
    print(f"page: {page.path.relative_to(root)}")


def configure_publish(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for another registry."""
    parser.description = f"{parser.description}; may be repeated after a failure"
    other = "instead, copy a version with its evidence to this MLflow, as challenger"
    parser.add_argument("--registry", metavar="URI", help=other)
    which = "the version or alias to copy (default: champion)"
    parser.add_argument("--version", metavar="N", help=which)


def run_publish(root: Path, args: argparse.Namespace) -> None:
    """Push images and weights, commit dvc.lock and split on a separate branch, and tag it.

    With --registry, copy a version to another MLflow.

    Raises:
        ConfigError, HgmnetError: as `pipelines.operations.publishing.publish`, or
            `pipelines.registry.copying.copy_version`.
    """
    from hgmnet.errors import ConfigError, redact_credentials
    from pipelines.operations.publishing import publish

    if args.registry:
        from pipelines.registry.copying import copy_version

        with open_registry(root) as registry:
            name = registry.name
            made = copy_version(root, registry.store, name, args.version, args.registry)
        state = "is now its challenger" if made.new else "was there already"
        at = redact_credentials(args.registry)
        print(f"{name} version {made.number}, as version {made.there} of {at}, {state}")
        return
    if args.version:
        raise ConfigError("--version names what --registry copies; without it, the model on disk")
    done = publish(root, print)
    to = f", pushed to {done.remote}" if done.remote else "; git has no remote `origin` to push to"
    print(f"{done.tag}: commit {done.commit[:7]} on {done.branch}{to}")


def configure_compare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the two evaluations."""
    kinds = "a version's number or alias, or a folder or file with per_image.csv"
    parser.add_argument("a", metavar="A", help=kinds)
    parser.add_argument("b", metavar="B", help=kinds)


def run_compare(root: Path, args: argparse.Namespace) -> None:
    """Write reports/compare/index.html and print a short table.

    Raises:
        ConfigError: one can't be found, or the two were not evaluated on the same images.
        InvalidDataError: the rows of one are damaged.
    """
    from pipelines.artifacts.paths import Workspace

    print(write_comparison(root, args.a, args.b, Workspace(root, "").comparison))


def write_comparison(root: Path, one: str, other: str, page: Path) -> str:
    """Write the page that compares two evaluations; return a short table and the page's path.

    Each is a version's number or alias, or a folder or file with per_image.csv. Raises as
    `run_compare`.
    """
    from hgmnet.config.params import load_params
    from hgmnet.data.atomic import write_text
    from pipelines.report.comparison import compare_aligned, pair, render, short

    params = load_params(root / "params.yaml")
    (first, ours), (second, theirs) = (_rows(root, word) for word in (one, other))
    names = (first, second) if first != second else (f"{first} (1)", f"{second} (2)")
    found = compare_aligned(pair(ours, theirs, names), params.model, params.evaluate)
    write_text(page, render(found, names, params.data.name))
    return f"{short(found, names)}\nreport: {page.relative_to(root)}"


def _rows(root: Path, word: str) -> "tuple[str, pd.DataFrame]":
    """Return name and rows of a file, a folder or a registered version."""
    from pipelines.report.comparison import find_file, read_rows

    file = find_file(Path(word))
    if file:
        return word.rstrip("/"), read_rows(file)
    from hgmnet.errors import ConfigError
    from pipelines.registry.aliases import registry_state
    from pipelines.registry.download import fetch_rows
    from pipelines.registry.loading import resolve
    from pipelines.registry.versions import find_version

    with open_registry(root) as registry, TemporaryDirectory(prefix="hgmnet-") as folder:
        store, name = registry.store, registry.name
        now = registry_state(store, name)
        if word not in now.models and word not in now.aliases:
            raise ConfigError(
                f"`{word}` is neither a version or alias of {name} nor a file or folder with a "
                "per_image.csv in it"
            )
        version = find_version(store, name, resolve(now, name, word)[0])
        return f"version {version.version}", read_rows(fetch_rows(store, version, Path(folder)))
