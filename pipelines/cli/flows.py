"""`hgmnet flow`: run a Prefect flow now, on an existing server or a temporary one."""

import argparse
from pathlib import Path
from typing import Any

from pipelines.cli.studies import FOLD_STUDIES


def configure_flow(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the flow's name and parameters."""
    flows = parser.add_subparsers(dest="name", metavar="flow", required=True)
    train = flows.add_parser("training", help="every stage, then register")
    train.add_argument("--profile", metavar="NAME", help="one of profiles/, for this run alone")
    train.add_argument(
        "--set",
        nargs="+",
        default=[],
        action="extend",
        dest="overrides",
        metavar="KEY=VALUE",
        help="an experiment with other settings, not registered: --set train.epochs=3",
    )
    train.add_argument("--force-stage", metavar="STAGE", help="run it even if nothing has changed")
    pushes = "then push, commit and tag it (`hgmnet publish`)"
    train.add_argument("--publish", action="store_true", help=pushes)
    compares = "then compare a new challenger with the champion"
    train.add_argument("--promote", action="store_true", help=compares)
    promotion = flows.add_parser("promotion", help="compare the challenger with the champion")
    promotion.add_argument("--version", metavar="N", help="instead of the challenger")
    promotion.add_argument("--data", metavar="NAME", help="compare on this data set, not on test")
    compares = "compare recent images with the champion's training images"
    monitor = flows.add_parser("monitoring", help=compares)
    monitor.add_argument("folder", type=Path, help="recent images, also in subfolders")
    served = "evaluate this log of served answers on the labels of --labels"
    monitor.add_argument("--log", type=Path, metavar="DIR", help=served)
    monitor.add_argument("--labels", type=Path, metavar="CSV", help="as `hgmnet score-served`")
    watch = flows.add_parser("data_watch", help="import changed images, and train if needed")
    watch.add_argument("source", type=Path, help="the whole data set: a folder, zip or table")
    new = "only report the changes"
    watch.add_argument("--no-train", action="store_false", dest="train", help=new)
    watch.add_argument("--no-promote", action="store_false", dest="promote", help="only train")
    batch = flows.add_parser("batch_predict", help="predict a folder or table of images once each")
    batch.add_argument(
        "source", type=Path, help="a folder, or a CSV or Parquet with a column image"
    )
    earlier = "output folder, may exist"
    batch.add_argument("--out", type=Path, required=True, metavar="DIR", help=earlier)
    batch.add_argument("--part", type=int, default=256, metavar="N", help="images per task (256)")
    logs = "append every answer, by its image's hash, to a chained log there"
    batch.add_argument("--log", type=Path, metavar="DIR", help=logs)
    for flow in (monitor, batch):
        flow.add_argument("--version", metavar="N", help="instead of the champion")
    study = flows.add_parser("study", help="`hgmnet study`, its trainings in parallel")
    study.add_argument(
        "kind", choices=[k for k in FOLD_STUDIES if k != "compare"]
    )  # no form for it
    study.add_argument("--folds", type=int, default=5, help="(5)")
    study.add_argument("--seeds", type=int, default=1, help="trainings per fold (1)")
    study.add_argument("--only", nargs="+", default=[], help="variants of the ablation")
    study.add_argument("--smoke", action="store_true", help="a few images, 1 epoch")
    for flow in (batch, study):
        flow.add_argument("--workers", type=int, default=1, metavar="N", help="processes here (1)")
        flow.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler, instead of them")
    for flow, hours in ((train, 0.0), (promotion, 72.0)):
        waits = f"hours to wait where a person must decide ({hours:g})"
        flow.add_argument("--approval-hours", type=float, default=hours, metavar="H", help=waits)


def run_flow(root: Path, args: argparse.Namespace) -> None:
    """Run the flow.

    Raises:
        RejectedError: the model did not pass its gate, or is not promoted.
        InvalidDataError: the data did not pass validation.
        ConfigError: a setting is wrong, the data set is not here, or no server starts.
        HgmnetError: any other failure.
    """
    from pipelines.flows.prefect import server
    from pipelines.operations.local_services import how_to_sign_in

    parameters = {k: v for k, v in vars(args).items() if k not in {"name", "run"}}
    if "overrides" in parameters:
        parameters["overrides"] = dict(map(_change, parameters["overrides"]))
    with server.running(root) as url:
        from pipelines.flows.prefect.states import raise_for_state

        print(f"Prefect server: {url.removesuffix('/api')}")
        if line := how_to_sign_in(root, url):
            print(line)
        raise_for_state(_flow(args.name)(root=root, **parameters, return_state=True))


def _change(word: str) -> tuple[str, Any]:
    """Parse `train.epochs=3` as params.yaml does; ConfigError: no `=`, or the value is not YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from hgmnet.errors import ConfigError

    key, equals, value = word.partition("=")
    if not equals:
        raise ConfigError(f"--set {word}: expected key=value, as train.epochs=3")
    try:
        return key, YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        raise ConfigError(f"--set {word}: {value} is not YAML") from None


def _flow(name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(f"pipelines.flows.{name}"), name)
