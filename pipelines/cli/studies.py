"""`hgmnet stage`, `hgmnet study` and `hgmnet plan`."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cli.main import STAGES
from pipelines.cli.options import resolve_model

if TYPE_CHECKING:
    from hgmnet.config.params import Params
    from hgmnet.training.planner import Machine, TrainingPlan


def configure_stage(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the stage's name."""
    parser.add_argument("name", choices=tuple(STAGES), metavar="name", help=", ".join(STAGES))


def run_stage(root: Path, args: argparse.Namespace) -> None:
    """Run the stage on the files of this checkout."""
    from pipelines.stages import runner

    runner.run_stage(args.name, root)


FOLD_STUDIES = {
    "crossval": "evaluate every image of train and val once, by a model that never saw it",
    "leakage": "train the same settings on a naive random split and on the grouped one",
    "ablation": "remove each part of the model, on the same folds and seeds",
    "compare": "compare settings, each on the same folds: -S model.encoder=resnet18,resnet34",
    "curve": "figures over a tenth, a quarter, half, three quarters and all of the training groups",
}
"""The studies that train on folds; each is a function of pipelines.studies.designs."""


_TEST = "use the test split too; this is recorded"


def configure_study(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the study's name and size."""
    studies = parser.add_subparsers(metavar="study", dest="study", required=True)
    does = "train the settings with several seeds: mean, spread, and their ensemble"
    seeds = studies.add_parser("seeds", help=does, description=does)
    _size(seeds, 3, "how many, from train.seed on (3)")
    for name, said in FOLD_STUDIES.items():
        study = studies.add_parser(name, help=said, description=said)
        study.add_argument("--folds", type=int, help="number of folds (5; 2 with --smoke)")
        _size(study, 1, "trainings per fold, from train.seed on (1)")
        rows = "keep only each model's rows, to save disk space"
        study.add_argument("--drop-models", action="store_true", help=rows)
        if name == "compare":
            grid = "a setting and its values; of several: every combination"
            study.add_argument(
                "-S", "--set", action="append", required=True, metavar="KEY=A,B", help=grid
            )
        if name == "ablation":
            study.add_argument("--only", nargs="+", default=[], help="variants beside the full one")

    said = "evaluate a trained model on a data set that it has not seen"
    external = studies.add_parser("external", help=said, description=said)
    external.add_argument("--model", required=True, help="a version's number, or a model folder")
    external.add_argument("--data", required=True, help="an imported data set's name")
    said = "classes that differ in name"
    external.add_argument("--map", nargs="+", default=[], metavar="THEIRS=OURS", help=said)
    said = "choose the operating point again on this fraction of it, and report on the rest"
    external.add_argument("--recalibrate", type=float, metavar="SHARE", help=said)
    external.add_argument("--smoke", action="store_true", help="16 images of each class at most")


def _size(study: argparse.ArgumentParser, count: int, seeds: str) -> None:
    study.add_argument("--seeds", type=int, default=count, help=seeds)
    study.add_argument("--include-test", action="store_true", help=_TEST)
    study.add_argument("--dry-run", action="store_true", help="print the cost, and stop")
    smoke = "a few images and 1 epoch (of folds: 2): a quick test"
    study.add_argument("--smoke", action="store_true", help=smoke)


def run_study(root: Path, args: argparse.Namespace) -> None:
    """Run the study, or continue one that was killed.

    Raises:
        HgmnetError: as `pipelines.studies.runner.run_study` and `pipelines.studies.seeds.run`.
    """
    from hgmnet.config.params import load_params

    params = load_params(root / "params.yaml")
    if args.study == "external":
        _external(root, params, args)
        return
    from pipelines.studies.definition import Size

    folds = getattr(args, "folds", None)
    folds = folds if folds is not None else 2 if args.smoke else 5
    size = Size(folds=folds, seeds=args.seeds, everything=args.include_test, smoke=args.smoke)
    if args.study == "seeds":
        from pipelines.studies import seeds

        seeds.run(root, params, size, only_say=args.dry_run)
        return
    from pipelines.studies.runner import declaration, run_study

    options: dict[str, object] = {"only": args.only} if args.study == "ablation" else {}
    if args.study == "compare":
        from pipelines.studies.compare import variants

        options = {"settings": variants(root / "params.yaml", args.set)}
    declare = declaration(args.study, **options)
    keep, only_say = not args.drop_models, args.dry_run
    table = run_study(root, params, declare, size, keep=keep, only_say=only_say, say=print)
    if table:
        print(f"\n{table}")


def _external(root: Path, params: "Params", args: argparse.Namespace) -> None:
    from hgmnet.errors import ConfigError
    from hgmnet.inference.predictor import TorchPredictor
    from hgmnet.models.device import best_device
    from pipelines.studies import external

    words = [word for several in args.map for word in several.split(",")]
    if strange := [word for word in words if word.count("=") != 1]:
        raise ConfigError(f"--map {strange[0]}: expected <class of the set>=<class of the model>")
    number = args.model if args.model.isdigit() else None
    folder, name = resolve_model(root, None if number else Path(args.model), number)
    request = external.ExternalRequest(
        predictor=TorchPredictor.load(folder, best_device()),
        name=name,
        folder=folder,
        data=args.data,
        mapping=dict(word.split("=") for word in words),
        recalibrate=args.recalibrate,
        smoke=args.smoke,
    )
    external.run(root, params, request)


def configure_plan(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the training's time limit and for writing."""
    parser.add_argument("--minutes", type=float, default=30.0, help="longest training time (30)")
    parser.add_argument("--write", action="store_true", help="write it to params.yaml")


def run_plan(root: Path, args: argparse.Namespace) -> None:
    """Print the proposed part of params.yaml; with --write, write it there.

    Raises:
        ConfigError: the data set has no manifest yet, or --minutes is not above 0.
        InvalidDataError: none of its images can be read.
    """
    from dataclasses import replace

    from hgmnet.config.params import load_params
    from hgmnet.data.image_record import ImageRecord
    from hgmnet.errors import ConfigError, InvalidDataError
    from hgmnet.training.planner import plan, step_cost
    from pipelines.artifacts.io import read_rows
    from pipelines.artifacts.paths import Workspace

    if args.minutes <= 0:
        raise ConfigError(f"--minutes {args.minutes:g}: expected more than 0")
    params = load_params(root / "params.yaml")
    manifest = Workspace(root, params.data.name).manifest
    if not manifest.exists():
        raise ConfigError(f"{manifest} is missing; first: dvc repro ingest")
    shapes = [(r.height, r.width) for r in read_rows(manifest, ImageRecord) if not r.error]
    if not shapes:
        raise InvalidDataError(f"{manifest} lists no image that can be read")
    machine, classes = this_machine(), len(params.data.classes)
    found = plan(
        shapes,
        machine,
        lambda side, batch, precision: step_cost(
            params.model, params.train, classes, side=side, batch=batch, precision=precision
        ),
        images=max(1, round(len(shapes) * params.split.fractions.train)),
        minutes=args.minutes / params.train.members,
    )
    found = replace(found, minutes=found.minutes * params.train.members)
    print("\n".join(_said(params.data.name, len(shapes), machine, found)))
    if args.write:
        _write(root / "params.yaml", found)
        print("\nWritten into params.yaml. Next: dvc repro")


def this_machine() -> "Machine":
    """Cores, memory (GiB; the GPU's if there is one) and GPU of this machine."""
    import os

    import torch

    from hgmnet.training.planner import Machine

    cores, gpu, bf16 = os.cpu_count() or 1, "", False
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if torch.cuda.is_available():
        known = torch.cuda.get_device_properties(0)
        memory, gpu, bf16 = known.total_memory, known.name, torch.cuda.is_bf16_supported()
    return Machine(cores=cores, memory=memory / 2**30, gpu=gpu, bf16=bf16)


def _said(name: str, count: int, machine: "Machine", found: "TrainingPlan") -> Iterator[str]:
    device = machine.gpu or f"{machine.cores} cores, no GPU"
    yield f"# {name}: {count} images, on {device}, {machine.memory:.0f} GiB"
    yield f"# a training takes about {found.minutes:.0f} min and {found.memory:.1f} GiB"
    for section, settings in _sections(found).items():
        yield f"{section}:"
        for key, value in settings.items():
            yield f"  {key}: {value}".ljust(24) + f"# {found.reasons[key]}"


def _sections(found: "TrainingPlan") -> dict[str, dict[str, Any]]:
    keys = {"prepare": ("side", "fit"), "train": ("epochs", "batch_size", "precision")}
    return {section: {k: getattr(found, k) for k in names} for section, names in keys.items()}


def _write(path: Path, found: "TrainingPlan") -> None:
    """Change only these keys; comments and order stay."""
    from pipelines.operations.init_settings import edited_yaml

    with edited_yaml(path) as tree:
        for section, settings in _sections(found).items():
            tree[section].update(settings)
