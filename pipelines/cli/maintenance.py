"""Maintenance of a checkout: `hgmnet up`, `hgmnet clean` and `hgmnet doctor`."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hgmnet.cli.model import port
from pipelines.cli.options import open_registry

if TYPE_CHECKING:
    from pipelines.registry.tracking_store import TrackingStore

_MIB = 2**20


def configure_up(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the ports."""
    parser.add_argument("--prefect-port", type=port, default=4200, metavar="N", help="(4200)")
    parser.add_argument("--mlflow-port", type=port, default=5000, metavar="N", help="(5000)")


def run_up(root: Path, args: argparse.Namespace) -> None:
    """Start the missing services, and run until Ctrl-C.

    Raises:
        ConfigError: a port is in use, a server does not start, or deploying failed.
        HgmnetError: a service ended by itself, or another `hgmnet up` runs here.
    """
    from pipelines.operations.local_services import Services

    with Services(root) as services:
        services.start_prefect(args.prefect_port)
        services.start_mlflow(args.mlflow_port)
        services.await_server("Prefect")
        services.deploy()
        services.await_server("MLflow")
        services.start_worker()
        print(f"Deployments of prefect.yaml are up; logs: {services.logs}. Ctrl-C ends all of it.")
        if line := services.how_to_sign_in():
            print(line)
        services.wait()


def configure_clean(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for age, studies and removal."""
    parser.add_argument("--yes", action="store_true", help="remove the listed files")
    age = "only files without changes for this many days (14)"
    parser.add_argument("--older-than", type=float, default=14.0, metavar="DAYS", help=age)
    studies = "include the trainings of studies, which take hours to repeat"
    parser.add_argument("--studies", action="store_true", help=studies)


def run_clean(root: Path, args: argparse.Namespace) -> None:
    """List removable files (--yes removes them), and advise; ConfigError during another run."""
    from pipelines.operations.cleanup import litter, remove
    from pipelines.operations.run_overrides import alone

    with alone(root, "hgmnet clean"):
        found = litter(root, older_than=args.older_than, studies=args.studies)
        for one in found:
            where = one.path.relative_to(root)
            print(f"{one.size / _MIB:>9.1f} MiB  {one.days:>4.0f} days  {where}: {one.what}")
            if args.yes:
                remove(one)
    mib = sum(one.size for one in found) / _MIB
    if not found:
        print(f"nothing here to remove that is older than {args.older_than:g} days")
    elif args.yes:
        print(f"removed: {mib:.1f} MiB")
    else:
        print(f"nothing was removed; {mib:.1f} MiB would be: hgmnet clean --yes")
    print("\n".join(["", *_advice(root, args.older_than, delete=args.yes)]))


def _advice(root: Path, days: float, *, delete: bool) -> Iterator[str]:
    from hgmnet.errors import ConfigError

    try:
        with open_registry(root, timeout_s=20, retries=1) as registry:
            yield from _dvc(root, registry.store, registry.name)
            yield _mlflow(registry.store)
    except ConfigError as error:
        yield f"DVC and MLflow: not checked; {error}"
    yield _prefect(root, days, delete=delete)


def _dvc(root: Path, store: "TrackingStore", name: str) -> Iterator[str]:
    """Advise on `dvc gc`, which deletes the files of versions without a tag."""
    from pipelines.operations.publishing import is_tagged
    from pipelines.registry.versions import list_versions

    bare = [v.number for v in list_versions(store, name) if not is_tagged(root, name, v.number)]
    if bare:
        yield (
            f"DVC: no `dvc gc` yet: version {', '.join(reversed(bare))} of {name} has no tag, so "
            "it would lose images and weights from the cache; `hgmnet lineage N` brings one back, "
            "`hgmnet publish` tags it"
        )
    else:
        yield "DVC: `dvc gc --workspace --all-tags` keeps only what the versions need"


def _mlflow(store: "TrackingStore") -> str:
    from hgmnet.errors import redact_credentials
    from pipelines.registry.download import deleted_runs

    if not (free := deleted_runs(store)):
        return "MLflow: no deleted runs that still take disk"
    runs = ",".join(free)
    return f"MLflow: mlflow gc --backend-store-uri {redact_credentials(store.uri)} --run-ids {runs}"


def _prefect(root: Path, days: float, *, delete: bool) -> str:
    """Count, or delete, old flow runs on a running server."""
    from pipelines.operations.local_services import use_own_server

    use_own_server(root)  # before Prefect is imported
    if not os.environ.get("PREFECT_API_URL"):
        return "Prefect: not checked; `hgmnet up` does not run here, and PREFECT_API_URL is not set"
    from pipelines.flows.prefect.old_runs import old_runs, remove

    try:
        runs = old_runs(days)
        if delete:
            remove(runs)
    except Exception as error:  # a missing server raises errors of many kinds
        return f"Prefect: not checked; {type(error).__name__}"
    done = "removed" if delete else "would be removed by --yes"
    return f"Prefect: {len(runs)} runs that ended more than {days:g} days ago {done}"


def configure_doctor(parser: argparse.ArgumentParser) -> None:
    """Add no arguments, only a description."""
    parser.description = f"{parser.description}; exit status 2: something must be fixed first"


def run_doctor(root: Path, args: argparse.Namespace) -> None:  # noqa: ARG001
    """Print a line per check; ConfigError, with their number, if something must be fixed first."""
    from hgmnet.errors import ConfigError
    from pipelines.operations import doctor

    findings = [*doctor.installation_findings(root), *doctor.checkout_findings(root)]
    for finding in findings:
        print(f"{finding.status:<5} {finding.says}")
    if blocking := sum(finding.status == "mend" for finding in findings):
        things = "1 thing" if blocking == 1 else f"{blocking} things"
        raise ConfigError(f"{things} must be mended first: see the lines that begin with `mend`")
