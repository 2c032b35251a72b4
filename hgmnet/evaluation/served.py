"""What became of served answers: figures by version and month, once labels are known."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from hgmnet.config.base import MALIGNANT, NORMAL, UNCLASSIFIED
from hgmnet.data.file_names import Names, find_file
from hgmnet.data.images import read_file
from hgmnet.data.masks import read_mask
from hgmnet.errors import InvalidDataError
from hgmnet.importing import spreadsheet
from hgmnet.metrics import segmentation
from hgmnet.metrics.bootstrap import Figure, GroupBootstrap, Mean
from hgmnet.metrics.catalogue import metric
from hgmnet.prediction.answer_log import AnswerLog, LoggedAnswer

ALL = "all"
_CLASSES = ("benign", MALIGNANT, NORMAL)
_DRAWS, _SEED = 2000, 0


@dataclass(frozen=True)
class LaterLabel:
    """The truth about one image, known later.

    `group`: images of one patient share it. `dice`: of the served mask, 0 to 1; None: not given.
    """

    label: str
    group: str
    dice: float | None


@dataclass(frozen=True)
class ServedFigures:
    """Figures of one version in one month (`2026-11`, or `all`).

    `answers`: number of images answered; `labelled`: of those with a label; `referred`: of those
    referred to a person. `figures`: of the labelled, by metric.
    """

    version: str
    month: str
    answers: int
    labelled: int
    referred: int
    figures: Mapping[str, Figure]


def read_labels(path: Path) -> dict[str, LaterLabel]:
    """Read labels by the SHA-256 of the image's file.

    `path`: CSV or .xlsx with the column `label`, and `image` (a path beside the table) or
    `image_sha256`; if known, `group` (the patient), and `mask` with `served_mask`: paths of the
    true and of the served mask.

    Raises:
        InvalidDataError: a column or file is missing, or an image has two labels.
    """
    sheet = spreadsheet.read(_read(path, "labels"), PurePosixPath(path.name))
    sheet.hold(["label"])
    key = "image_sha256" if "image_sha256" in sheet.columns else "image"
    sheet.hold([key])
    listed: dict[Path, Names] = {}
    found: dict[str, LaterLabel] = {}
    for number, row in sheet.rows.items():
        where = sheet.where(number)
        if not row["label"]:
            raise InvalidDataError(f"{where}: its label is empty")
        sha256 = row[key].lower()
        if key == "image":
            file = find_file(path.parent, row[key], listed)
            sha256 = hashlib.sha256(_read(file, where)).hexdigest()
        elif not re.fullmatch("[0-9a-f]{64}", sha256):
            raise InvalidDataError(f"{where}: {row[key]!r} is no SHA-256 of 64 hexadecimal digits")
        paths = [path.parent / row[name] for name in ("mask", "served_mask") if row.get(name)]
        later = LaterLabel(row["label"].lower(), row.get("group", "") or sha256, _dice(paths))
        if found.setdefault(sha256, later) != later:
            raise InvalidDataError(f"{where}: a row above has another label for this image")
    return found


def _read(file: Path, where: str) -> bytes:
    try:
        return read_file(file)
    except OSError as error:
        raise InvalidDataError(f"{where}: {file} can't be read: {error.strerror}") from None


def _dice(paths: Sequence[Path]) -> float | None:
    if len(paths) < 2:
        return None
    truth, served = (read_mask([path]) for path in paths)
    if truth.shape != served.shape:
        raise InvalidDataError(f"{paths[1]} is not of the size of {paths[0]}")
    tp, fp, fn, _ = segmentation.count_pixels(served, truth)
    return 2 * tp / (2 * tp + fp + fn) if tp + fn else None


def score_served(log: AnswerLog, labels: Mapping[str, LaterLabel]) -> tuple[ServedFigures, ...]:
    """Compute figures by version, each month and all together; the log's chain is verified first.

    If a version answered an image more than once in a month, the last answer counts. A served mask
    counts only if one model alone has answered its image, for it is of that model's answer.

    Raises:
        ConfigError, InvalidDataError: as `AnswerLog.read`; a label is no class of the answers, or
            none is of an answered image.
    """
    answers = [answer for answer, _ in log.read()]
    _refuse_foreign(answers, labels)
    models: dict[str, set[str]] = defaultdict(set)
    parts: dict[tuple[str, str], dict[tuple[str, int], LoggedAnswer]] = defaultdict(dict)
    for answer in answers:
        models[answer.image_sha256].add(answer.model_sha256)
        version = f"{answer.model} version {answer.version}"
        if not answer.version:  # a folder, whose content may change
            version = f"{answer.model} ({answer.model_sha256[:8]})"
        for month in (answer.when[:7], ALL):
            parts[version, month][answer.image_sha256, answer.frame] = answer
    alone = {image for image, found in models.items() if len(found) == 1}
    return tuple(
        ServedFigures(
            version,
            month,
            answers=len(answers),
            labelled=sum(one.image_sha256 in labels for one in answers.values()),
            referred=sum(one.refer for one in answers.values()),
            figures=dict(_figures(list(answers.values()), labels, alone)),
        )
        for (version, month), answers in sorted(parts.items())
    )


def _refuse_foreign(answers: Sequence[LoggedAnswer], labels: Mapping[str, LaterLabel]) -> None:
    """Raise InvalidDataError if labels are not of these answers: other classes, other images."""
    classes = {*_CLASSES, *(one.decision for one in answers)} - {"", UNCLASSIFIED}
    if wrong := sorted({later.label for later in labels.values()} - classes):
        known = ", ".join(sorted(classes))
        raise InvalidDataError(f"the labels {', '.join(wrong)} are no classes; expected: {known}")
    if not any(one.image_sha256 in labels for one in answers):
        raise InvalidDataError(
            f"none of {len(labels)} labels is of an image in the log; an image is found by the "
            "SHA-256 of the file that was sent"
        )


def _figures(
    answers: Sequence[LoggedAnswer], labels: Mapping[str, LaterLabel], alone: Collection[str]
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures that can be computed."""
    known = [(one, labels[one.image_sha256]) for one in answers if one.image_sha256 in labels]
    classified = [(one, later) for one, later in known if one.decision not in {"", UNCLASSIFIED}]
    malignant = [(one, later) for one, later in classified if later.label == MALIGNANT]
    others = [(one, later) for one, later in classified if later.label != MALIGNANT]
    for name, part, wanted in (
        ("served_sensitivity_malignant", malignant, True),
        ("served_specificity_malignant", others, False),
    ):
        right = [(one.decision == MALIGNANT) is wanted for one, _ in part]
        if right:
            yield name, _figure([later.group for _, later in part], right, proportion=True)
    dice = [
        (later.group, later.dice)
        for one, later in known
        if later.dice is not None and one.image_sha256 in alone
    ]
    if dice:
        groups, values = zip(*dice, strict=True)
        yield "served_lesion_dice", _figure(groups, values, proportion=False)


def _figure(groups: Sequence[str], values: Sequence[float], *, proportion: bool) -> Figure:
    bootstrap = GroupBootstrap(groups, _DRAWS, _SEED)
    return bootstrap.figure(Mean(np.asarray(values, dtype=np.float64)), proportion=proportion)


def table(found: Sequence[ServedFigures]) -> list[str]:
    """Format the figures as a table, one line per version, month and figure."""
    head = ("version", "month", "figure", "value", "95 % interval", "images / groups")
    rows: list[tuple[str, ...]] = [head]
    for part in found:
        counts = f"{part.labelled} of {part.answers} answers labelled, {part.referred} referred"
        rows.append((part.version, part.month, counts, "", "", ""))
        rows += [
            ("", "", metric(name).title, f"{one.value:.3f}", f"{one.low:.3f} to {one.high:.3f}",
             f"{one.n} / {one.groups}")
            for name, one in part.figures.items()
            if one.value is not None
        ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
