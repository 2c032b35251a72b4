"""Predict image files: one mask, overlay and row per file; a bad file's row has the error."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from hgmnet.data.atomic import write_table, write_text
from hgmnet.data.dicom import decode_file
from hgmnet.data.folder_layout import find_images
from hgmnet.data.images import encode_mask
from hgmnet.errors import ConfigError, HgmnetError
from hgmnet.inference.predictor import Predictor
from hgmnet.inference.response import prediction_columns, prediction_row
from hgmnet.pages.overlays import overlay


@dataclass(frozen=True)
class Summary:
    """Number of files predicted, and of files that could not be read."""

    predicted: int
    failed: int


def find_files(words: Sequence[str]) -> list[Path]:
    """Find image files by file names, folders (recursively) and globs, without masks.

    A file given by name is taken even if it is named like a mask.

    Raises:
        ConfigError: a word matches no file.
    """
    found: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            files = find_images(path)
        elif path.exists():
            files = [path]
        else:
            files = sorted(Path(file) for file in glob(word, recursive=True))  # noqa: PTH207
        if not files:
            msg = f"{word}: expected an image, a folder with images or a pattern like 'scans/*.png'"
            raise ConfigError(msg)
        found |= dict.fromkeys(files)
    return list(found)


def predict_files(
    files: Sequence[Path], predictor: Predictor, model: Mapping[str, str], out: Path
) -> Summary:
    """Write `<name>_mask.png`, `<name>_overlay.png`, predictions.csv and predictions.jsonl.

    Args:
        files: images, DICOM among them.
        predictor: the model.
        model: columns about the model in each row, by name.
        out: output folder; created if absent.
    """
    names = _names(files)
    out.mkdir(parents=True, exist_ok=True)
    rows = [_one(file, name, predictor, out) for file, name in _with_progress(files, names)]
    columns = _columns(predictor, model)
    rows = [{**dict.fromkeys(columns, ""), **row, **model} for row in rows]
    write_table(out / "predictions.csv", columns, rows)
    known = ({k: v for k, v in row.items() if v not in ("", None)} for row in rows)
    write_text(out / "predictions.jsonl", "".join(f"{json.dumps(row)}\n" for row in known))
    failed = sum(bool(row["error"]) for row in rows)
    return Summary(len(rows) - failed, failed)


def _one(file: Path, name: str, predictor: Predictor, out: Path) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        decoded = decode_file(file.read_bytes(), file.name)
        prediction = predictor.predict([decoded.grey])[0]
        (out / f"{name}_mask.png").write_bytes(encode_mask(prediction.mask))
        overlay(decoded.grey, prediction.mask).save(out / f"{name}_overlay.png")
        row = prediction_row(prediction, predictor.operating, decoded.pixel_mm)
    except (HgmnetError, OSError) as error:
        return {"file": str(file), "error": str(error)}
    seconds = round(time.perf_counter() - start, 3)
    return {"file": str(file), **row, "seconds": seconds, "error": ""}


def _columns(predictor: Predictor, model: Iterable[str]) -> list[str]:
    output = (column.name for column in prediction_columns(predictor.spec.classes))
    return ["file", *output, "seconds", *model, "error"]


def _names(files: Sequence[Path]) -> list[str]:
    """Return the output names: each file's stem, with a number if two share it."""
    taken: dict[str, int] = {}
    names = []
    for file in files:
        count = taken[file.stem] = taken.get(file.stem, 0) + 1
        names.append(file.stem if count == 1 else f"{file.stem}~{count}")
    return names


def _with_progress(files: Sequence[Path], names: Sequence[str]) -> Iterator[tuple[Path, str]]:
    from tqdm import tqdm

    pairs = zip(files, names, strict=True)
    yield from tqdm(pairs, total=len(files), unit="image", disable=None, leave=False)
