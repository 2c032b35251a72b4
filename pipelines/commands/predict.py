"""`hgmnet predict`: what a model finds in images, as files."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hgmnet.inference import Predictor


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the images, where to write, and which model."""
    parser.add_argument("images", nargs="+", help="files, folders, patterns; DICOM too")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="FOLDER", help="a model folder")
    which.add_argument("--version", metavar="N", help="a registered version, not the champion")


def run(root: Path, args: argparse.Namespace) -> None:
    """Write masks, overlays, predictions.csv and predictions.jsonl.

    Raises:
        ConfigError: no such images or model.
        InvalidDataError: some files could not be read; the others were predicted.
    """
    from hgmnet.errors import InvalidDataError
    from pipelines.predictions import find_files, predict_files

    files = find_files(args.images)
    predictor, model = _load(root, args)
    summary = predict_files(files, predictor, model, args.out)
    print(f"{summary.predicted} images predicted by {model['model']}: {args.out}/predictions.csv")
    print("For research; not a medical device.")
    if summary.failed:
        msg = f"{summary.failed} of {len(files)} files could not be read; predictions.csv says why"
        raise InvalidDataError(msg)


def _load(root: Path, args: argparse.Namespace) -> "tuple[Predictor, dict[str, str]]":
    """The model, and what each row says of it."""
    import torch

    from hgmnet.inference import Predictor

    folder, name = args.model, str(args.model)
    if folder is None:
        from hgmnet.config import load_params
        from pipelines.registry.fetch import fetch_model
        from pipelines.registry.store import http_limits, open_store_patiently

        params = load_params(root / "params.yaml")
        with http_limits(timeout_s=60, retries=2):
            store = open_store_patiently(root, params.data.name)
            cache = root / ".hgmnet" / "versions"
            folder, number = fetch_model(store, params.registry.name, args.version, cache)
        name = f"{params.registry.name} version {number}"
    predictor = Predictor.load(folder, "cuda" if torch.cuda.is_available() else "cpu")
    threshold = predictor.operating.malignant_threshold
    said = "" if threshold is None else f"{threshold:.6f}"
    return predictor, {
        "model": name,
        "model_sha256": predictor.identity,
        "malignant_threshold": said,
    }
