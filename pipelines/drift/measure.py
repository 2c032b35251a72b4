"""Measure images for drift: statistics of the pixels, and a model's predictions."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hgmnet.data import images, metadata
from hgmnet.data.file_names import printable
from hgmnet.data.image_files import PassedOver, find_in, passed_over_text
from hgmnet.data.image_statistics import ImageStatistics, measure
from hgmnet.data.images import Grey
from hgmnet.data.progress import batches
from hgmnet.data.reader import frames_of, open_image
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation.drift import (
    DriftReport,
    Profile,
    by_column,
    compare,
    predicted_columns,
    unknown,
)
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import PROFILE
from pipelines.artifacts.io import read_json

_BATCH = 16


@dataclass(frozen=True)
class Measured:
    """Measurements of a folder of images.

    `columns`: numbers by column. `texts`: text by column, of each image in images.csv. `images`:
    number of images read. `unreadable`: names of the others. `passed_over`: the other files.
    """

    columns: dict[str, list[float]]
    texts: tuple[dict[str, str], ...]
    images: int
    unreadable: tuple[str, ...]
    passed_over: tuple[PassedOver, ...]


def measure_folder(folder: Path, predictor: TorchPredictor) -> Measured:
    """Measure and predict every image below a folder, except masks.

    Predictions on images that the weights were fitted on are left out, because the model is more
    confident on them.

    Raises:
        InvalidDataError: the folder or a readable image is absent, or images.csv is invalid.
    """
    names, passed_over = _list(folder)
    trained_on = frozenset(predictor.spec.seen.train)
    facts: list[Mapping[str, float]] = []
    said: list[Mapping[str, float]] = []
    unreadable = []
    for batch in _looks(folder, names):
        unreadable += [printable(name) for name, looks in batch if not looks]
        seen = [look for _, looks in batch for look in looks]
        facts += [look.facts.model_dump() for look in seen]
        new = [look.grey for look in seen if look.pixel_sha256 not in trained_on]
        said += (
            predicted_columns(finding, predictor.spec.model) for finding in predictor.predict(new)
        )
    if not facts:
        msg = f"none of the {len(names)} images in {folder} can be read; name a folder of scans"
        raise InvalidDataError(msg)
    texts = tuple(metadata.words(folder).values())
    columns = by_column(facts) | by_column(said)
    return Measured(columns, texts, len(facts), tuple(unreadable), passed_over)


def drift_of(
    model: Path, identity: str, facts: Mapping[str, Mapping[str, float]], raw: Path, source: str
) -> DriftReport:
    """Compare evaluated images with the profile in a model folder.

    `identity`: hash of the model. `facts`: features of each image, by its path below `raw`; the
    same columns for all. `source`: of the images, for messages, such as `test split of busi`.

    Raises:
        InvalidDataError: the profile is absent or damaged, or images.csv is invalid.
    """
    profile = read_json(model / PROFILE, Profile)
    shifts = compare(profile, by_column(list(facts.values())))
    texts = metadata.words(raw)
    return DriftReport(
        data=profile.data,
        model=identity,
        source=source,
        images=len(facts),
        unreadable=(),
        columns=shifts,
        drifted=tuple(shift.column for shift in shifts if shift.drifted),
        new_values=unknown(profile, (texts[image] for image in facts if image in texts)),
    )


def measure_images(paths: Iterable[Path]) -> list[ImageStatistics]:
    """Measure images in parallel; InvalidDataError if one can't be decoded."""

    def look(path: Path) -> ImageStatistics:
        return measure(images.decode_grey(path.read_bytes(), str(path)))

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(look, paths))


@dataclass(frozen=True)
class _Look:
    facts: ImageStatistics
    grey: Grey
    pixel_sha256: str


def _list(folder: Path) -> tuple[list[str], tuple[PassedOver, ...]]:
    """Return the images as POSIX paths below the folder, sorted, and the other files."""
    if not folder.is_dir():
        msg = f"{folder} is not a folder; expected one with images, such as data/<name>/raw"
        raise InvalidDataError(msg)
    found = find_in(folder)
    passed = tuple(one for one in found.passed_over if one.file != metadata.NAME)
    if not found.images:
        others = f" ({passed_over_text(passed, folder)})" if passed else ""
        msg = f"{folder} has no image{others}; name a folder of scans"
        raise InvalidDataError(msg)
    return list(map(str, found.images)), passed


def _looks(folder: Path, names: Sequence[str]) -> Iterator[list[tuple[str, list[_Look]]]]:
    """Yield batches of (name, frames), none of an unreadable file; one batch is in memory."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for part in batches(len(names), _BATCH, "measuring"):
            batch = names[part]
            yield list(zip(batch, pool.map(lambda name: _look(folder / name), batch), strict=True))


def _look(path: Path) -> list[_Look]:
    try:
        return [
            _Look(measure(one.grey), one.grey, images.pixel_sha256(one.rgb))
            for one in frames_of(open_image(images.read_file(path), path.name))
        ]
    except (InvalidDataError, OSError):
        return []
