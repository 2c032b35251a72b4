"""Predict many images with one model: each exactly once, in parts that survive a killed run.

A part is a Parquet file of rows, written atomically after the masks of its images; at the end the
parts are joined into predictions.parquet. A file (by name, size and time of its last change) that
has a row of the same model is not predicted again.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hgmnet.data.atomic import atomic
from hgmnet.data.file_names import Names, find_file, printable
from hgmnet.data.image_files import PassedOver, stem_of
from hgmnet.data.images import encode_mask, read_file
from hgmnet.data.metadata import SourceNames
from hgmnet.data.reader import frames_of, open_image
from hgmnet.errors import ConfigError, HgmnetError
from hgmnet.inference.predictor import Predictor
from hgmnet.inference.response import prediction_columns, prediction_row
from hgmnet.prediction import backends
from hgmnet.prediction.answer_log import AnswerLog, logged
from hgmnet.prediction.files import find_files, shortened

TABLE, PARTS, MASKS = "predictions.parquet", "parts", "masks"
_KEY = ["image", "bytes", "modified_ns", "model_sha256"]


@dataclass(frozen=True)
class BatchRequest:
    r"""An image to predict: its name, file, bytes and last change; -1: no file.

    `source_name`: its name at its source, empty if it is `name`.
    `modified_ns`: of content, name or rights, in ns; a copied file may keep its time of
    modification, and images without compression are all of one size. Bytes of a name that are not
    UTF-8 are written as `\xfc`.
    """

    name: str
    source_name: str
    file: Path
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Job:
    """A model and its output folder.

    `exports`: folder of exports for ONNX Runtime. `model`: the model folder; `sha256`: its
    identity. `backend`: torch or onnx. `called`: names of model and backend for the rows. `log`:
    folder of the log of answers; None for none.
    """

    exports: Path
    model: Path
    sha256: str
    backend: backends.Wanted
    called: tuple[str, str]
    out: Path
    log: Path | None = None


@dataclass(frozen=True)
class Asked:
    """The images to predict, and the other files of their folder."""

    images: list[BatchRequest]
    passed_over: list[PassedOver]


def asked_for(source: Path) -> Asked:
    """List the images of a folder and its subfolders, or of a table's column `image`.

    Raises:
        ConfigError: no images, an unreadable table or one without that column, or a repeated image.
    """
    sources, listed = SourceNames(), dict[Path, Names]()
    if source.is_dir() or source.suffix.lower() not in {".csv", ".parquet"}:
        top, found = source if source.is_dir() else source.parent, find_files([str(source)])
        images = [_asked(printable(file.relative_to(top)), file, sources) for file in found.images]
        return Asked(images, found.passed_over)
    try:
        table = pd.read_csv(source) if source.suffix == ".csv" else pd.read_parquet(source)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source} can't be read: {error}") from None
    if "image" not in table:
        raise ConfigError(f"{source}: expected a column `image`, got {', '.join(table.columns)}")
    if not len(table):
        raise ConfigError(f"{source} names no image; expected one row per image")
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise ConfigError(f"{source} names {twice.iloc[0]} more than once")
    names = {name: find_file(source.parent, name, listed) for name in map(str, table["image"])}
    images = [_asked(name, file, sources) for name, file in names.items()]
    return Asked(images, [])


def left(job: Job, asked: Sequence[BatchRequest]) -> list[BatchRequest]:
    """Return the requests that this model has not predicted yet.

    Raises:
        ConfigError: a file in the output folder that would be replaced is no earlier prediction.
    """
    there = {row for file in _files(job.out) for row in _keys(file)}
    return [one for one in asked if (one.name, one.size, one.modified_ns, job.sha256) not in there]


def predict_part(job: Job, asked: Sequence[BatchRequest]) -> int:
    """Write the images' masks, then their rows; return the number of unreadable images."""
    finder = _finder(job.exports, job.model, job.backend)
    rows = [row for one in asked for row in _rows(job, one, finder)]
    if job.log:
        name, _, version = job.called[0].partition(" version ")
        served = {"model": name, "version": version}
        answers = [
            logged(row["image_sha256"], row | served, row["seconds"], row["frame"] or 0)
            for row in rows
            if row["error"] is None
        ]
        AnswerLog(job.log).append(answers)
    name = hashlib.sha256(repr([job.sha256, *asked]).encode()).hexdigest()[:16]
    table = pa.Table.from_pylist(rows, schema=_schema(finder.spec.classes))
    with atomic(job.out / PARTS / f"{name}.parquet") as part:
        pq.write_table(table, part)
    return sum(row["error"] is not None for row in rows)


def join(job: Job, asked: Sequence[BatchRequest]) -> pd.DataFrame:
    """Join the parts into predictions.parquet; return the rows of these images.

    Raises:
        HgmnetError: an image has no row.
    """
    files = _files(job.out)
    found = pa.concat_tables([pq.read_table(file) for file in files], promote_options="default")
    frames = found["frame"] if "frame" in found.column_names else [None] * len(found)
    keys = found.select(_KEY).to_pandas().assign(frame=frames)
    wanted = {(one.name, one.size, one.modified_ns, job.sha256) for one in asked}
    keys["answers"] = [key in wanted for key in keys.itertuples(index=False, name=None)]
    last = keys.sort_values("answers", kind="stable").drop_duplicates("image", keep="last")
    kept = keys.reset_index().merge(last[_KEY], on=_KEY).drop_duplicates(["image", "frame"])
    table, names = found.take(sorted(kept["index"])), [one.name for one in asked]
    rows = pd.DataFrame({"image": names}).merge(table.to_pandas(), on="image", how="left")
    if missing := int((rows["model_sha256"] != job.sha256).sum()):
        raise HgmnetError(f"{missing} images have no row; run the same command again")
    with atomic(job.out / TABLE) as part:
        pq.write_table(table, part)
    for file in files:
        if file.name != TABLE:
            file.unlink()
    return rows


def mask_path(name: str, frame: int = 0) -> str:
    """Path of an image's mask below the output folder, in one of 256 subfolders.

    `frame`: its number, from 1; 0 for the only one.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()
    stem = shortened(stem_of(Path(name)), 200)
    ending = f"~f{frame}" if frame else ""
    return f"{MASKS}/{digest[:2]}/{stem}-{digest[2:12]}{ending}.png"


def _keys(file: Path) -> list[tuple[Any, ...]]:
    """Return the values of `_KEY` in each row."""
    try:
        columns = pq.read_table(file, columns=_KEY).to_pydict()
        return list(zip(*(columns[key] for key in _KEY), strict=True))
    except (pa.ArrowInvalid, KeyError):
        msg = f"{file} is no earlier prediction and is not overwritten"
        raise ConfigError(f"{msg}; choose another folder: --out DIR") from None


def _asked(name: str, file: Path, sources: SourceNames) -> BatchRequest:
    shown = printable(file.name)
    source_name = sources.of(file) or ("" if Path(name).name == shown else shown)
    try:
        stat = file.stat()
    except (OSError, ValueError):  # such as a name with a zero byte
        return BatchRequest(name, source_name, file, -1, -1)
    return BatchRequest(
        name, source_name, file, stat.st_size, max(stat.st_mtime_ns, stat.st_ctime_ns)
    )


@lru_cache(maxsize=1)
def _finder(exports: Path, model: Path, backend: backends.Wanted) -> Predictor:
    """Load the model, once per process."""
    return backends.load(exports, model, backend, 1)[0]


def _rows(job: Job, asked: BatchRequest, finder: Predictor) -> list[dict[str, Any]]:
    """Predict a file: one row per frame, or one with the error."""
    found: dict[str, Any] = {"image": asked.name, "source_name": asked.source_name}
    found |= {"bytes": asked.size, "modified_ns": asked.modified_ns}
    model = {"model": job.called[0], "model_sha256": job.sha256, "backend": job.called[1]}
    row: dict[str, Any] = {**found, **model, "error": None}
    rows = []
    start = time.perf_counter()
    try:
        data = read_file(asked.file)
        row["image_sha256"] = hashlib.sha256(data).hexdigest()
        for decoded in frames_of(open_image(data, Path(asked.name).name)):
            prediction = finder.predict([decoded.grey])[0]
            path = mask_path(asked.name, decoded.frame)
            with atomic(job.out / path) as part:
                part.write_bytes(encode_mask(prediction.mask))
            outputs = prediction_row(prediction, finder.operating, decoded.pixel_mm)
            took = {"seconds": time.perf_counter() - start}
            rows.append({**row, "frame": decoded.frame or None, **outputs, "mask": path, **took})
            start = time.perf_counter()
    except (HgmnetError, OSError, ValueError) as error:
        return [{**row, "error": str(error)}]
    return rows


_TYPES = {"string": pa.string(), "double": pa.float64(), "boolean": pa.bool_(), "long": pa.int64()}


def _schema(classes: Sequence[str]) -> pa.Schema:
    found = {column.name: column.kind for column in prediction_columns(classes)}
    texts = dict.fromkeys(("source_name", "image_sha256", "mask", "error"), "string")
    numbers = dict.fromkeys(("bytes", "modified_ns"), "long")
    model = dict.fromkeys(("model", "model_sha256", "backend"), "string")
    kinds = {"image": "string", "frame": "long", **found, **texts, **numbers, **model}
    return pa.schema([(name, _TYPES[kind]) for name, kind in kinds.items()])


def _files(out: Path) -> list[Path]:
    """List predictions.parquet if there, then the parts."""
    return [*out.glob(TABLE), *sorted((out / PARTS).glob("*.parquet"))]
