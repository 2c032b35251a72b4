"""`hgmnet predict`: what a model finds in images, as files."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import choosing

if TYPE_CHECKING:
    from hgmnet.inference import Finder


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the images, where to write, and which model."""
    parser.add_argument("images", nargs="+", help="files, folders, patterns; DICOM too")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    choosing.offer(parser, "a model folder, or a file of `hgmnet export`")
    parser.add_argument(
        "--backend",
        choices=["auto", "torch", "onnx"],
        default="auto",
        help="what runs the model: auto (the faster one that is here), torch or onnx",
    )


def run(root: Path, args: argparse.Namespace) -> None:
    """Write masks, overlays, predictions.csv and predictions.jsonl.

    Raises:
        ConfigError: no such images or model.
        InvalidDataError: some files could not be read; the others were predicted.
    """
    from hgmnet.errors import InvalidDataError
    from pipelines.predictions import find_files, predict_files

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


def _load(root: Path, args: argparse.Namespace, images: int) -> "tuple[Finder, dict[str, str]]":
    """The model, and what each row says of it."""
    folder, name = choosing.choose(root, args)

    from pipelines import backends

    predictor, backend = backends.load(root, folder, args.backend, images)
    threshold = predictor.operating.malignant_threshold
    said = "" if threshold is None else f"{threshold:.6f}"
    return predictor, {
        "model": name,
        "model_sha256": predictor.identity,
        "backend": backend,
        "malignant_threshold": said,
    }
