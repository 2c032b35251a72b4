"""Inputs of the report: the outputs of earlier stages, and the model's provenance."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from hgmnet.calibration.mask_threshold import MaskCurve
from hgmnet.data.image_record import ImageRecord
from hgmnet.evaluation.drift import DriftReport
from hgmnet.metrics.bootstrap import Figure
from hgmnet.models.spec import Operating, Spec
from hgmnet.splitting.pairs import Pair
from hgmnet.splitting.split_lock import Lock, SplitRow
from pipelines.artifacts.evaluation import Certainty, Consistency, Evaluation, Subgroups
from pipelines.artifacts.gate import GateResult
from pipelines.artifacts.io import read_json, read_rows, read_table
from pipelines.artifacts.lineage import TrainRun, hash_file
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import EvaluationNumber
from pipelines.artifacts.validation import ValidationReport

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Provenance:
    """Data, split and training; None or empty where the file is absent.

    `data_sha256`: of the manifest, so of every image's pixels, label, masks and group. `copies`,
    `scenes`: number of pairs of copies, and of frames of one scene. `patients`: number of patients
    of images in a split, `shared`: of those with images in two splits; 0 if the source names none.
    `groups`: number of groups of more than one image, `grouped`: of images in them. `sides`: number
    of images by (class, split). `excluded`: by reason. `lock_id`: id of the split lock,
    `split_sha256`: of the split's rows.
    """

    data_sha256: str | None
    copies: int | None
    scenes: int | None
    patients: int
    shared: int
    groups: int | None
    grouped: int | None
    sides: dict[tuple[str, str], int]
    excluded: dict[str, int]
    lock_id: str | None
    split_sha256: str | None
    run: TrainRun | None


def read_provenance(space: Workspace) -> Provenance:
    """Read the files that exist; InvalidDataError if one is damaged."""
    pairs = read_rows(space.pairs, Pair) if space.pairs.exists() else None
    stated = {"patient", "clip"}  # by the source, not found, nor marked by a reader
    scenes = [p for p in pairs or () if p.kind == "scene" and p.transform not in stated]
    rows = read_rows(space.split_csv, SplitRow) if space.split_csv.exists() else []
    lock = read_if_there(space.split_json, Lock)
    patients = _splits_by_patient(space, rows)
    sizes = [count for count in Counter(row.group for row in rows).values() if count > 1]
    return Provenance(
        data_sha256=hash_file(space.manifest) if space.manifest.exists() else None,
        copies=None if pairs is None else sum(pair.kind == "copy" for pair in pairs),
        scenes=None if pairs is None else len(scenes),
        patients=len(patients),
        shared=sum(len(splits) > 1 for splits in patients.values()),
        groups=len(sizes) if rows else None,
        grouped=sum(sizes) if rows else None,
        sides=dict(Counter((row.label, row.status) for row in rows)),
        excluded=dict(Counter(row.reason for row in rows if row.status == "excluded")),
        lock_id=lock.lock_id if lock else None,
        split_sha256=lock.entries[-1].rows_sha256 if lock and lock.entries else None,
        run=read_if_there(space.train_run, TrainRun),
    )


def _splits_by_patient(space: Workspace, rows: Sequence[SplitRow]) -> dict[str, set[str]]:
    """The splits that each known patient's images are in."""
    known = read_rows(space.manifest, ImageRecord) if space.manifest.exists() else []
    statuses = {(row.pixel_sha256, row.name): row.status for row in rows}
    splits: dict[str, set[str]] = {}
    for record in known:
        status = statuses.get((record.pixel_sha256, record.name), "excluded")
        if record.patient and status != "excluded":
            splits.setdefault(record.patient, set()).add(status)
    return splits


def read_if_there(path: Path, kind: type[T]) -> T | None:
    """Read a file of `write_json`, None if there is none; InvalidDataError if it is damaged."""
    return read_json(path, kind) if path.exists() else None


def packages(run: TrainRun) -> str:
    """Format the packages of a training with their versions."""
    return ", ".join(f"{name} {version}" for name, version in run.packages.items())


def likeness(provenance: Provenance) -> str | None:
    """Format the numbers of copies, scenes and groups; None if they are unknown."""
    if provenance.copies is None or provenance.scenes is None:
        return None
    found = f"Near-duplicates: {counted(provenance.copies, 'pair')} of copies and "
    found += f"{counted(provenance.scenes, 'pair')} of frames of one scene were found"
    if provenance.groups is None:
        return f"{found}."
    grouped = counted(provenance.grouped or 0, "image")
    groups = f"{counted(provenance.groups, 'group')} of more than one, each in one split"
    return f"{patients(provenance)}{found}; {grouped} in {groups}."


def patients(provenance: Provenance) -> str:
    """Format the number of patients, and whether one is in two splits; empty without any."""
    if not provenance.patients:
        return ""
    shared = provenance.shared or "none"
    return f"{counted(provenance.patients, 'patient')}, {shared} in two splits. "


def excluded(provenance: Provenance) -> tuple[str, ...]:
    """Format the number of excluded images per reason, the most frequent first."""
    by_count = sorted(provenance.excluded.items(), key=lambda item: (-item[1], item[0]))
    return tuple(f"{counted(count, 'image')}: {reason}" for reason, count in by_count)


def counted(number: int, noun: str) -> str:
    """Format a count: `1 seed`, `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Format a duration in s, min or h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


_COUNTS = ("tp", "fp", "fn", "coarse_tp", "coarse_fp", "coarse_fn")


@dataclass(frozen=True)
class EvaluatedImage:
    """One evaluated image: a row of per_image.csv.

    `image`: path below raw/. `tp`, `fp`, `fn`: pixels of the fine net's mask at native size;
    `coarse_*`: of the coarse net's. `served`: pixels of the mask served. `probs`: calibrated, by
    class; empty if the model predicts none. Counts of masks that it doesn't predict are 0.
    `group`: shared by near-duplicates. `evidence_*`: fraction of class evidence inside the lesion,
    and by chance; None: not measured.
    """

    image: str
    split: str
    label: str
    pixels: int
    tp: int
    fp: int
    fn: int
    coarse_tp: int
    coarse_fp: int
    coarse_fn: int
    served: int
    predicted: str
    decision: str
    probs: dict[str, float]
    group: str = ""
    evidence_inside: float | None = None
    evidence_chance: float | None = None

    @property
    def name(self) -> str:
        """Stem of the image's file name."""
        return self.image.rpartition("/")[2].rpartition(".")[0]

    @property
    def area(self) -> float:
        """True lesion's fraction of the image, 0 to 1."""
        return (self.tp + self.fn) / self.pixels

    @property
    def dice(self) -> float | None:
        """Lesion Dice of the fine net, 0 to 1; None if the truth is empty."""
        return _dice(self.tp, self.fp, self.fn)

    @property
    def coarse_dice(self) -> float | None:
        """Lesion Dice of the coarse net, 0 to 1; None if the truth is empty."""
        return _dice(self.coarse_tp, self.coarse_fp, self.coarse_fn)


@dataclass(frozen=True)
class ReportInputs:
    """Inputs of a report; `curves`: one mapping of column to figure per epoch.

    `subgroups` and the fields after it are None if their file is absent.
    """

    validation: ValidationReport
    curves: tuple[Mapping[str, float], ...]
    cases: tuple[EvaluatedImage, ...]
    evaluation: Evaluation
    drift: DriftReport
    gate: GateResult
    spec: Spec
    operating: Operating
    identity: str
    provenance: Provenance
    subgroups: Subgroups | None = None
    certainty: Certainty | None = None
    mask_curve: MaskCurve | None = None
    consistency: Consistency | None = None
    opening: EvaluationNumber | None = None
    intended_use: str = ""

    @property
    def split(self) -> str:
        """The split that the report shows: test if it was evaluated, else val."""
        return "val" if self.evaluation.test is None else "test"

    @property
    def figures(self) -> dict[str, Figure]:
        """Figures of `split`, by metric."""
        return self.evaluation.val if self.evaluation.test is None else self.evaluation.test

    @property
    def shown(self) -> tuple[EvaluatedImage, ...]:
        """Images of `split`."""
        return tuple(case for case in self.cases if case.split == self.split)


def read_evidence(
    space: Workspace, spec: Spec, operating: Operating, identity: str
) -> ReportInputs:
    """Read the files of a finished evaluation; the arguments come from the model's folder.

    Raises:
        InvalidDataError: a file is absent or damaged.
    """
    gate = read_json(space.gate, GateResult)
    return ReportInputs(
        validation=read_json(space.validation, ValidationReport),
        curves=tuple(_epoch(row) for row in read_table(space.curves)),
        cases=tuple(_case(row) for row in read_table(space.per_image)),
        evaluation=read_json(space.metrics, Evaluation),
        drift=read_json(space.evaluation_drift, DriftReport),
        gate=gate,
        spec=spec,
        operating=operating,
        identity=identity,
        provenance=read_provenance(space),
        subgroups=read_if_there(space.subgroups, Subgroups),
        certainty=read_if_there(space.certainty, Certainty),
        mask_curve=read_if_there(space.mask_curve, MaskCurve),
        consistency=read_if_there(space.consistency, Consistency),
        opening=read_if_there(space.opening, EvaluationNumber),
        intended_use=gate.intended_use,
    )


def _dice(tp: int, fp: int, fn: int) -> float | None:
    return 2 * tp / (2 * tp + fp + fn) if tp + fn else None


def _epoch(row: Mapping[str, str]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items() if value not in {"", "nan"}}


def _case(row: Mapping[str, str]) -> EvaluatedImage:
    probs = {
        key.removeprefix("prob_"): float(value)
        for key, value in row.items()
        if key.startswith("prob_") and value
    }
    return EvaluatedImage(
        image=row["image"],
        split=row["split"],
        label=row["label"],
        pixels=int(row["height"]) * int(row["width"]),
        **{name: int(row[name] or 0) for name in _COUNTS},
        served=int(row["served_tp"] or 0) + int(row["served_fp"] or 0),
        predicted=row["predicted"],
        decision=row["decision"],
        probs=probs,
        group=row.get("group", ""),
        evidence_inside=_number(row.get("evidence_inside")),
        evidence_chance=_number(row.get("evidence_chance")),
    )


def _number(cell: str | None) -> float | None:
    return float(cell) if cell else None
