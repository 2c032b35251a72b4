"""`hgmnet predict` and `hgmnet export`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli import options

if TYPE_CHECKING:
    from hgmnet.inference.predictor import Predictor


def configure_predict(parser: argparse.ArgumentParser) -> None:
    """Take the images, where to write, and which model."""
    parser.add_argument("images", nargs="+", help="files, folders, patterns; DICOM too")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    options.add_model_options(parser, "a model folder, or a file of `hgmnet export`")
    parser.add_argument(
        "--backend",
        choices=["auto", "torch", "onnx"],
        default="auto",
        help="what runs the model: auto (the faster one that is here), torch or onnx",
    )


def run_predict(root: Path, args: argparse.Namespace) -> None:
    """Write masks, overlays, predictions.csv and predictions.jsonl.

    Raises:
        ConfigError: no such images or model.
        InvalidDataError: some files could not be read; the others were predicted.
    """
    from hgmnet.errors import InvalidDataError
    from pipelines.prediction.files import find_files, predict_files

    files = find_files(args.images)
    predictor, model = _load(root, args, len(files))
    summary = predict_files(files, predictor, model, args.out)
    who = f"{model['model']} ({model['backend']})"
    images = "1 image" if summary.predicted == 1 else f"{summary.predicted} images"
    print(f"{images} predicted by {who}: {args.out}/predictions.csv")
    print("For research; not a medical device.")
    if summary.failed:
        msg = f"{summary.failed} of {len(files)} files could not be read; predictions.csv says why"
        raise InvalidDataError(msg)


def _load(root: Path, args: argparse.Namespace, images: int) -> "tuple[Predictor, dict[str, str]]":
    """The model, and what each row says of it."""
    folder, name = options.resolve_model(root, args)

    from pipelines.prediction import backends

    predictor, backend = backends.load(root, folder, args.backend, images)
    threshold = predictor.operating.malignant_threshold
    said = "" if threshold is None else f"{threshold:.6f}"
    return predictor, {
        "model": name,
        "model_sha256": predictor.identity,
        "backend": backend,
        "malignant_threshold": said,
    }


def configure_export(parser: argparse.ArgumentParser) -> None:
    """Take the model, the format and where to write."""
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="onnx")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write")
    options.add_model_options(parser)
    parser.add_argument("--int8", action="store_true", help="in 8 bits: smaller and faster")
    parser.add_argument(
        "--max-loss",
        nargs=2,
        type=float,
        default=(0.01, 0.02),
        metavar=("DICE", "ACCURACY"),
        help="what int8 may lose on val, else it is refused (0.01 0.02)",
    )


def run_export(root: Path, args: argparse.Namespace) -> None:
    """Write the file, and read_onnx.py beside it, which shows how to use it.

    Raises:
        ConfigError: no such model, or a package is not installed.
        HgmnetError: the file answers otherwise than the model.
        InvalidDataError: `--int8` without the data set that it is judged on.
        RejectedError: int8 loses too much.
    """
    import shutil

    folder, name = options.resolve_model(root, args)

    from hgmnet.inference import onnx_standalone
    from hgmnet.inference.predictor import TorchPredictor
    from pipelines.prediction.backends import cached
    from pipelines.prediction.onnx_export import Bounds, export_checked, quantise_checked

    predictor = TorchPredictor.load(folder)
    kept = cached(root, predictor.identity)
    print(export_checked(root, predictor, kept))
    if args.int8:
        print(quantise_checked(root, predictor, kept, args.out, Bounds(*args.max_loss)))
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, args.out)
    reader = args.out.with_name("read_onnx.py")
    shutil.copyfile(onnx_standalone.__file__, reader)
    megabytes = args.out.stat().st_size / 1e6
    print(f"{name}: {args.out}, {megabytes:.0f} MB; try: python {reader} {args.out} scan.png")
    print("Research use only; not a medical device.")
