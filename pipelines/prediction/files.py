"""Predict image files: a mask, an overlay and a row for each; a bad file is a row that says why."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from hgmnet.data import dicom
from hgmnet.data.images import SUFFIXES, Grey, decode_grey
from hgmnet.data.resize import Mask
from hgmnet.errors import ConfigError, HgmnetError
from hgmnet.inference.postprocess import Prediction
from hgmnet.inference.predictor import Predictor
from pipelines.artifacts.io import write_table, write_text

BOX = ("left", "top", "right", "bottom")
_DICOM = (".dcm", ".dicom")
_OUTLINE = (240, 160, 0)


@dataclass(frozen=True)
class Opened:
    """A decoded image: grey (H, W), and a pixel's side in mm, 0 where unknown."""

    grey: Grey
    pixel_mm: float


@dataclass(frozen=True)
class Summary:
    """How many files were predicted, how many could not be read."""

    predicted: int
    failed: int


def find_files(words: Sequence[str]) -> list[Path]:
    """The image files meant by files, folders (with all below them) and globs, without masks.

    A file that is named is taken, whatever it is called.

    Raises:
        ConfigError: a word means no file.
    """
    found: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if _is_image(file))
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
        model: what to say of it in each row, by column.
        out: made where absent.
    """
    names = _names(files)
    out.mkdir(parents=True, exist_ok=True)
    rows = [_one(file, name, predictor, out) for file, name in _with_progress(files, names)]
    columns = _columns(predictor, model)
    rows = [{**dict.fromkeys(columns, ""), **row, **model} for row in rows]
    write_table(out / "predictions.csv", columns, rows)
    lines = (json.dumps({k: v for k, v in row.items() if v != ""}) + "\n" for row in rows)
    write_text(out / "predictions.jsonl", "".join(lines))
    failed = sum(bool(row["error"]) for row in rows)
    return Summary(len(rows) - failed, failed)


def open_image(data: bytes, name: str) -> Opened:
    """Decode PNG, JPEG, BMP, TIFF or DICOM.

    Raises:
        InvalidDataError: it is none of them, damaged or too large.
        ConfigError: it is DICOM, and pydicom is not installed.
    """
    if dicom.is_dicom(data):
        scan = dicom.decode(data, name)
        return Opened(decode_grey(scan.png, name), scan.pixel_mm)
    return Opened(decode_grey(data, name), 0.0)


def overlay(grey: Grey, mask: Mask) -> Image.Image:
    """The image with the lesion's outline on it."""
    rgb = np.repeat(grey[..., None], 3, axis=2)
    width = max(1, round(max(grey.shape) / 300))
    rgb[mask & ~binary_erosion(mask, iterations=width)] = _OUTLINE
    return Image.fromarray(rgb)


def describe(finding: Prediction, pixel_mm: float) -> dict[str, Any]:
    """What is said of an image, a column each; empty where there is nothing to say."""
    area = round(finding.lesion_area * pixel_mm**2, 2) if pixel_mm else ""
    return {
        "decision": finding.decision,
        "class": finding.predicted,
        **{f"prob_{name}": round(prob, 6) for name, prob in finding.probs.items()},
        "uncertainty": round(finding.uncertainty, 6),
        "refer": finding.refer,
        "lesion_area_px": finding.lesion_area,
        "lesion_area_mm2": area,
        **dict(zip(BOX, finding.box or ("",) * 4, strict=True)),
    }


def _one(file: Path, name: str, predictor: Predictor, out: Path) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        opened = open_image(file.read_bytes(), file.name)
        finding = predictor.predict([opened.grey])[0]
        Image.fromarray(finding.mask).convert("L").save(out / f"{name}_mask.png")
        overlay(opened.grey, finding.mask).save(out / f"{name}_overlay.png")
        said = describe(finding, opened.pixel_mm)
    except (HgmnetError, OSError) as error:
        return {"file": str(file), "error": str(error)}
    seconds = round(time.perf_counter() - start, 3)
    return {"file": str(file), **said, "seconds": seconds, "error": ""}


def _columns(predictor: Predictor, model: Iterable[str]) -> list[str]:
    probs = [f"prob_{name}" for name in predictor.spec.classes]
    said = (*probs, "uncertainty", "refer", "lesion_area_px", "lesion_area_mm2", *BOX)
    return ["file", "decision", "class", *said, "seconds", *model, "error"]


def _names(files: Sequence[Path]) -> list[str]:
    """What the files made from each are called: its stem, with a number where two share it."""
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


def _is_image(file: Path) -> bool:
    suffix = file.suffix.lower()
    return suffix in {*SUFFIXES, *_DICOM} and "_mask" not in file.stem and file.is_file()
