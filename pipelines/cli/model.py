"""`hgmnet predict`, `export`, `serve`, `demo` and `score` in a checkout.

They use a registered model; `score` evaluates on the locked test split, which is recorded.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hgmnet.cli import model as anywhere
from hgmnet.cli import served
from hgmnet.cli.score import add_score_options, figure_lines
from pipelines.cli.options import add_model_options, positive, resolve_model

if TYPE_CHECKING:
    from hgmnet.data.resize import Grey
    from hgmnet.models.spec import Spec
    from hgmnet.serving.model_card import FindCard
    from hgmnet.serving.model_slot import ModelSlot


def configure_predict(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for images, output and model."""
    add_model_options(parser, anywhere.MODEL_OR_FILE)
    anywhere.add_predict_options(parser)


def run_predict(root: Path, args: argparse.Namespace) -> None:
    """Run `hgmnet.cli.model.predict`; an export for ONNX Runtime is checked on val images."""
    from pipelines.artifacts.paths import Workspace

    def check_images(spec: "Spec") -> "tuple[list[Grey], str]":
        from pipelines.prediction.onnx_export import val_images  # which needs torch

        return val_images(root, spec)

    anywhere.predict(args, lambda: _find(root, args), Workspace(root, "").exports, check_images)


def configure_export(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for model, output and int8."""
    add_model_options(parser)
    anywhere.add_export_options(parser)
    parser.add_argument("--int8", action="store_true", help="in 8 bits: smaller and faster")
    names, most = ("DICE", "ACCURACY"), (0.01, 0.02)
    loss = "largest loss of int8 on val; more is refused (0.01 0.02)"
    parser.add_argument("--max-loss", nargs=2, type=float, default=most, metavar=names, help=loss)


def run_export(root: Path, args: argparse.Namespace) -> None:
    """Export as `hgmnet.cli.model.run_export`; the file, also with `--int8`, is checked on val.

    Raises:
        ConfigError: no such model, or a package is not installed.
        HgmnetError: the file's predictions differ from the model's.
        InvalidDataError: `--int8` without the model's prepared data set.
        RejectedError: int8 loses too much.
    """
    import shutil

    path, name = _find(root, args)

    from hgmnet.data.atomic import atomic
    from hgmnet.inference.predictor import TorchPredictor
    from hgmnet.prediction.backends import cached
    from hgmnet.prediction.onnx_export import export_checked
    from pipelines.artifacts.paths import Workspace
    from pipelines.prediction.onnx_export import Bounds, quantise_checked, val_images

    predictor = TorchPredictor.load(path)
    kept = cached(Workspace(root, "").exports, predictor.identity)
    print(export_checked(predictor, kept, partial(val_images, root)))
    if args.int8:
        print(quantise_checked(root, predictor, kept, args.out, Bounds(*args.max_loss)))
    else:
        with atomic(args.out) as part:
            shutil.copyfile(kept, part)
    anywhere.finish_export(args.out, name)


def configure_serve(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for address, model and polling interval."""
    add_model_options(parser)
    anywhere.add_serve_options(parser)
    between = "seconds between readings of the alias (5)"
    parser.add_argument("--poll-seconds", type=positive, default=5.0, help=between)


def run_serve(root: Path, args: argparse.Namespace) -> None:
    """Run `hgmnet.cli.model.serve`; without `--model` or `--version` follow the champion alias."""
    anywhere.serve(args, lambda: _find_slot(root, args, args.poll_seconds)[0])


def configure_demo(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for port, model and browser."""
    add_model_options(parser)
    anywhere.add_demo_options(parser)


def run_demo(root: Path, args: argparse.Namespace) -> None:
    """Run `hgmnet.cli.model.demo`, with the challenger where there is no champion yet."""
    anywhere.demo(args, lambda: _find_slot(root, args, 5.0, or_challenger=True))


def _find(root: Path, args: argparse.Namespace) -> tuple[Path, str]:
    return resolve_model(root, args.model, args.version)


def _find_slot(
    root: Path, args: argparse.Namespace, poll_seconds: float, *, or_challenger: bool = False
) -> "tuple[ModelSlot, FindCard, str]":
    from hgmnet.serving.model_card import card_beside
    from hgmnet.serving.model_slot import ModelSlot, load_folder
    from pipelines.registry.serving import serve_version
    from pipelines.registry.tracking_store import store_errors_as_messages

    if args.model is not None:
        return ModelSlot(load_folder(args.model)), card_beside(args.model), ""
    with store_errors_as_messages(root):
        found = serve_version(root, args.version, poll_seconds, or_challenger=or_challenger)
    return found.slot, found.find_card, found.remark


configure_log, configure_score_served = served.configure_log, served.configure_score_served


def run_log(root: Path, args: argparse.Namespace) -> None:  # noqa: ARG001
    """Run `hgmnet.cli.served.run_log`."""
    served.run_log(args)


def run_score_served(root: Path, args: argparse.Namespace) -> None:  # noqa: ARG001
    """Run `hgmnet.cli.served.run_score_served`."""
    served.run_score_served(args)


def configure_score(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for predictions, data set, method name and comparison."""
    add_score_options(parser)
    parser.add_argument("--data", metavar="NAME", help="data set (default: as in params.yaml)")
    parser.add_argument("--name", required=True, help="method's name: reports/scores/<name>")
    against = "compare with a version's number or alias, or a folder with per_image.csv"
    parser.add_argument("--against", metavar="B", help=against)


def run_score(root: Path, args: argparse.Namespace) -> None:
    """Print figures with intervals, the test evaluation's number, and the comparison.

    Raises:
        ConfigError: a name is not allowed, or there is no such version.
        InvalidDataError: an image of the test split has no prediction, or a file can't be read.
    """
    from hgmnet.config.params import load_params
    from pipelines.artifacts.paths import Workspace
    from pipelines.cli.version import write_comparison
    from pipelines.operations.score import score
    from pipelines.report.console import opened

    params = load_params(root / "params.yaml")
    workspace = Workspace(root, args.data or params.data.name)
    done = score(workspace, params, args.name, args.masks, args.probabilities)
    print(f"{args.name} on the test split of {workspace.data}\n")
    print("\n".join(figure_lines(done.figures)))
    print(f"\n{opened(done.number, done.evaluations)}\nper image: {done.rows.relative_to(root)}")
    if args.against:
        page = done.rows.with_name("index.html")
        print(f"\n{write_comparison(root, str(done.rows.parent), args.against, page)}")
