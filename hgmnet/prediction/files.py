"""Predict image files: a mask, an overlay and one row each; `error` for an unreadable file."""

import csv
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from glob import glob, has_magic
from itertools import chain, count, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from hgmnet.data.atomic import write_table, write_text
from hgmnet.data.file_names import printable
from hgmnet.data.image_files import (
    PASSED_OVER,
    PassedOver,
    find_in,
    find_on_disk,
    passed_over_text,
    stem_of,
    write_passed_over,
)
from hgmnet.data.images import encode_mask, read_file
from hgmnet.data.metadata import SourceNames
from hgmnet.data.progress import progress
from hgmnet.data.reader import frames_of, open_image
from hgmnet.data.resize import resize_to_input, resize_to_original
from hgmnet.errors import ConfigError, HgmnetError
from hgmnet.inference.postprocess import postprocess
from hgmnet.inference.predictor import Predictor
from hgmnet.inference.response import prediction_columns, prediction_row
from hgmnet.pages.overlays import overlay
from hgmnet.prediction.dicom_seg import Segmentations, file_names


@dataclass(frozen=True)
class Summary:
    """Numbers of files that were predicted, and that could not be read."""

    predicted: int
    failed: int


@dataclass(frozen=True)
class FoundFiles:
    """Images to predict, and the other files of the folders and patterns."""

    images: list[Path]
    passed_over: list[PassedOver]


def find_files(words: Sequence[str]) -> FoundFiles:
    """Find the images named by files, folders (recursively) and globs, without masks.

    A file named itself is always included. The others are chosen by `hgmnet.data.image_files.find`.

    Raises:
        ConfigError: a word matches no image.
    """
    images: dict[Path, None] = {}
    passed: dict[PassedOver, None] = {}
    for word in words:
        found = _find(word)
        if not found.images:
            msg = f"{word}: expected an image, a folder with images or a pattern like 'scans/*.png'"
            others = passed_over_text(found.passed_over, "all of them there")
            raise ConfigError(f"{msg}; {others}" if found.passed_over else msg)
        images |= dict.fromkeys(found.images)
        passed |= dict.fromkeys(found.passed_over)
    return FoundFiles(list(images), [one for one in passed if Path(one.file) not in images])


def _find(word: str) -> FoundFiles:
    path = Path(word)
    if path.exists() and not path.is_dir():
        return FoundFiles([path], [])
    if path.is_dir():
        top, found = path, find_in(path)
    else:
        top = Path(*takewhile(lambda part: not has_magic(part), path.parts))
        files = map(Path, glob(word, recursive=True))  # noqa: PTH207
        found = find_on_disk({PurePosixPath(f.relative_to(top)): f for f in files if f != top})
    passed = [PassedOver(printable(top / one.file), one.reason) for one in found.passed_over]
    return FoundFiles([top / image for image in found.images], passed)


def predict_files(
    files: Sequence[Path],
    predictor: Predictor,
    model: Mapping[str, str],
    out: Path,
    *,
    passed_over: Sequence[PassedOver] = (),
    bits: int = 0,
    segmentations: Segmentations | None = None,
) -> Summary:
    r"""Write `<name>_mask.png`, `<name>_overlay.png`, predictions.csv and predictions.jsonl.

    A file of several frames has a row per frame, with its number from 1 in `frame` and `~f<number>`
    in the names of its pictures. Files of an earlier run are replaced, also of one that was killed;
    no other file is. Bytes of a name that are not UTF-8 are written as `\xfc`. Files that were
    passed over are written to passed_over.csv.

    Args:
        files: images, DICOM among them.
        predictor: the model.
        model: the model's columns, equal in each row.
        out: the folder to write to, created if missing.
        passed_over: the files besides.
        bits: depth of pixels of 16 bits whose file declares none; 0 to refuse such files.
        segmentations: writes each prediction as DICOM, too.

    Returns:
        Numbers of rows.

    Raises:
        ConfigError: it would overwrite a file that is no earlier prediction.
    """
    names = _names(files)
    _claim(out, {_TABLE, _LINES, *chain.from_iterable(map(_pictures, names))})
    if segmentations:
        segmentations.folder.mkdir(parents=True, exist_ok=True)
        _claim(segmentations.folder, set(chain.from_iterable(map(file_names, names))))
    write_passed_over(out / PASSED_OVER, passed_over)
    pairs = zip(files, names, strict=True)
    predict = partial(_rows, predictor=predictor, out=out, bits=bits, segmentations=segmentations)
    sources = SourceNames()
    rows = [
        {"source_name": sources.of(file)} | row
        for file, name in progress(pairs, "predicting", len(files))
        for row in predict(file, name)
    ]
    output = (column.name for column in prediction_columns(predictor.spec.classes))
    columns = [
        "file",
        "source_name",
        "frame",
        *output,
        "mask",
        "overlay",
        "seconds",
        *model,
        "error",
    ]
    rows = [{**dict.fromkeys(columns, ""), **row, **model} for row in rows]
    write_table(out / _TABLE, columns, rows)
    known = ({k: v for k, v in row.items() if v not in ("", None)} for row in rows)
    write_text(out / _LINES, "".join(f"{json.dumps(row)}\n" for row in known))
    failed = sum(bool(row["error"]) for row in rows)
    return Summary(len(rows) - failed, failed)


def _rows(
    file: Path,
    name: str,
    *,
    predictor: Predictor,
    out: Path,
    bits: int,
    segmentations: Segmentations | None,
) -> Iterator[dict[str, Any]]:
    """Predict a file: one row per frame, or one with the error."""
    spec, operating = predictor.spec, predictor.operating
    start, shown = time.perf_counter(), printable(file)
    try:
        opened = open_image(read_file(file), Path(shown).name)
        header = segmentations.source(opened) if segmentations else None
        if len(opened) > 1:
            frames = (f"{name}~f{number + 1}" for number in range(len(opened)))
            _claim(out, set(chain.from_iterable(map(_pictures, frames))))
        for decoded in frames_of(opened, bits):
            frame = {"frame": decoded.frame} if decoded.frame else {}
            mask, drawn = _pictures(f"{name}~f{decoded.frame}" if frame else name)
            height, width = decoded.grey.shape
            raw = predictor.predict_raw(resize_to_input(decoded.grey, spec.prepare)[None])
            prediction = postprocess(raw, 0, (height, width), spec, operating)
            if segmentations:
                probability = resize_to_original(raw.mask_prob[0], height, width, spec.prepare)
                segmentations.write(name, header, prediction.mask, probability)
            (out / mask).write_bytes(encode_mask(prediction.mask))
            overlay(decoded.grey, prediction.mask).save(out / drawn)
            row = prediction_row(prediction, operating, decoded.pixel_mm)
            seconds = round(time.perf_counter() - start, 3)
            named = {"mask": mask, "overlay": drawn, "seconds": seconds, "error": ""}
            yield {"file": shown, **frame, **row, **named}
            start = time.perf_counter()
    except (HgmnetError, OSError) as error:
        yield {"file": shown, "error": str(error)}


def _names(files: Sequence[Path]) -> list[str]:
    """Base name of each file's pictures: its stem, numbered if already used."""
    names: dict[str, None] = {}
    for file in files:
        stem = shortened(printable(stem_of(file)), 200)
        numbered = (f"{stem}~{number}" for number in count(2))
        names[next(name for name in chain([stem], numbered) if name not in names)] = None
    return list(names)


def shortened(name: str, most: int) -> str:
    """Return at most `most` bytes of a name; file systems allow 255, and more is appended."""
    return name.encode()[:most].decode(errors="ignore")


def _pictures(name: str) -> tuple[str, str]:
    """File names of the mask and of the overlay."""
    return f"{name}_mask.png", f"{name}_overlay.png"


_TABLE, _LINES, _RECORD = "predictions.csv", "predictions.jsonl", ".predictions.json"


def _claim(out: Path, files: set[str]) -> None:
    """Check that files to be overwritten were written by an earlier run; record those of this."""
    ours = _written(out)
    for name in sorted(files - ours):
        if (out / name).exists():
            msg = f"{out / name} is no earlier prediction and is not overwritten"
            raise ConfigError(f"{msg}; choose another folder: --out DIR")
    write_text(out / _RECORD, json.dumps(sorted(ours | files)))


def _written(out: Path) -> set[str]:
    """Names of the files that earlier runs wrote, by their record, or else by their table."""
    with suppress(FileNotFoundError, ValueError):
        return set(json.loads((out / _RECORD).read_text(encoding="utf-8")))
    with (
        suppress(FileNotFoundError, UnicodeDecodeError, csv.Error),
        (out / _TABLE).open(newline="", encoding="utf-8") as file,
    ):
        rows = csv.DictReader(file)
        if {"file", "mask", "overlay", "error"} <= set(rows.fieldnames or ()):
            return {_TABLE, _LINES, *(row[key] for row in rows for key in ("mask", "overlay"))}
    return set()
