"""What changed between two registered versions: settings, data, code, plan, figures, answers."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from hgmnet.config.params import Params
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import HgmnetError
from pipelines.artifacts.io import read_rows
from pipelines.report import comparison
from pipelines.report.comparison import AlignedComparison
from pipelines.report.inputs import counted
from pipelines.version_page.version import VersionEvidence

_MASK = attrgetter("mask_pixels", "mask_parts", "mask_smallest")


@dataclass(frozen=True)
class Setting:
    """A setting of params.yaml or pccp.yaml that differs; empty text: it was absent."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class ChangedAnswer:
    """An image whose decision went from right to wrong, or from wrong to right."""

    image: str
    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Changes:
    """Differences of a version from its predecessor.

    `compared`: figures of both on the same images, first the predecessor's; None with the reason in
    `incomparable`. `worse`, `better`: decisions that went wrong, and that were put right.
    """

    before: str
    settings: tuple[Setting, ...]
    plan: tuple[Setting, ...]
    data: tuple[str, ...]
    code: tuple[str, ...]
    compared: AlignedComparison | None
    incomparable: str
    worse: tuple[ChangedAnswer, ...]
    better: tuple[ChangedAnswer, ...]


def changes(before: VersionEvidence, after: VersionEvidence, params: Params) -> Changes:
    """Compare the frozen evidence of two versions.

    `params`: number of draws and seed of the comparison's bootstrap.

    Raises:
        InvalidDataError: a file is damaged.
    """
    compared, why = _compare(before, after, params)
    answers = tuple(_changed_answers(compared)) if compared else ()
    return Changes(
        before=before.number,
        settings=tuple(_settings(before.folder, after.folder, "params.yaml")),
        plan=tuple(_settings(before.folder, after.folder, "pccp.yaml")),
        data=tuple(_data(before, after)),
        code=tuple(_code(before, after)),
        compared=compared,
        incomparable=why,
        worse=tuple(one for one in answers if one.before == one.label),
        better=tuple(one for one in answers if one.after == one.label),
    )


def _compare(
    before: VersionEvidence, after: VersionEvidence, params: Params
) -> tuple[AlignedComparison | None, str]:
    names = (f"version {before.number}", f"version {after.number}")
    tables = [comparison.read_rows(one.space.per_image) for one in (before, after)]
    try:
        aligned = comparison.pair(tables[0], tables[1], names)
    except HgmnetError as error:
        return None, str(error)
    return comparison.compare_aligned(aligned, params.model, params.evaluate), ""


def _changed_answers(compared: AlignedComparison) -> Iterator[ChangedAnswer]:
    for one in compared.disagreements:
        first, second = one.first.decision, one.second.decision
        if first != second and one.label in {first, second}:
            yield ChangedAnswer(one.image, one.label, first, second)


def _settings(before: Path, after: Path, name: str) -> Iterator[Setting]:
    ours, theirs = (dict(_flat("", _yaml(folder / name))) for folder in (before, after))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield Setting(key, ours.get(key, ""), theirs.get(key, ""))


def _yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path) if path.exists() else {}


def _flat(prefix: str, tree: Any) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, value as text); a list of mappings is flattened by position."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), value)
    elif isinstance(tree, list) and any(isinstance(one, Mapping) for one in tree):
        for number, value in enumerate(tree, start=1):
            yield from _flat(f"{prefix}.{number}", value)
    else:
        yield prefix, str(tree)


def _data(before: VersionEvidence, after: VersionEvidence) -> Iterator[str]:
    """Images and patients that were added, are gone, or have another label, one line each.

    Images are compared by their pixels; of equal ones each counts.
    """
    ours, theirs = (_records(one) for one in (before, after))
    for verb, here, there in (("added", theirs, ours), ("gone", ours, theirs)):
        counts: Counter[str] = Counter()
        for sha, records in here.items():
            surplus = len(records) - len(there.get(sha, ()))
            counts.update(one.label for one in records[: max(0, surplus)])
        if counts:
            listed = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
            patients = _patients(here) - _patients(there)
            who = f", {counted(len(patients), 'patient')} {verb}" if patients else ""
            yield f"{counted(counts.total(), 'image')} {verb}: {listed}{who}"
    both = [(ours[sha], theirs[sha]) for sha in ours.keys() & theirs.keys()]
    labels = sum(
        Counter(r.label for r in one) != Counter(r.label for r in two) for one, two in both
    )
    if labels:
        yield f"{counted(labels, 'image')} with another label"
    masks = sum(Counter(map(_MASK, one)) != Counter(map(_MASK, two)) for one, two in both)
    if masks:
        yield f"{counted(masks, 'image')} with a mask of another size or number of parts"
    locks = [one.inputs.provenance.lock_id for one in (before, after)]
    if locks[0] != locks[1]:
        yield f"another split: lock {locks[1] or 'unknown'} instead of {locks[0] or 'unknown'}"


def _records(one: VersionEvidence) -> dict[str, list[ImageRecord]]:
    """Images by the hash of their pixels."""
    found: dict[str, list[ImageRecord]] = defaultdict(list)
    file = one.space.manifest
    for row in read_rows(file, ImageRecord) if file.exists() else ():
        found[row.pixel_sha256].append(row)
    return found


def _patients(records: Mapping[str, Sequence[ImageRecord]]) -> set[str]:
    return {one.patient for rows in records.values() for one in rows} - {""}


def _code(before: VersionEvidence, after: VersionEvidence) -> Iterator[str]:
    first, second = before.tag("git_commit"), after.tag("git_commit")
    if first != second:
        yield f"commit {second[:10]} instead of {first[:10]}: git diff {first[:10]} {second[:10]}"
    if before.tag("code") != after.tag("code"):
        yield "the packed code (package hgmnet) differs"
