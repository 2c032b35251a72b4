"""What a report is made of: the files that the earlier stages wrote, and the model's origin."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from hgmnet.evaluation.drift import DriftReport
from hgmnet.metrics.bootstrap import Figure
from hgmnet.models.spec import Operating, Spec
from hgmnet.splitting.pairs import Pair
from hgmnet.splitting.split_lock import Lock, SplitRow
from pipelines.artifacts.evaluation import (
    Certainty,
    Consistency,
    Evaluation,
    EvaluationNumber,
    MaskCurve,
    Subgroups,
)
from pipelines.artifacts.gate import GateResult
from pipelines.artifacts.io import read_json, read_rows, read_table
from pipelines.artifacts.lineage import UNKNOWN, hash_file
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.training import TrainRun
from pipelines.artifacts.validation import ValidationReport

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Provenance:
    """Data, split and training; what no file tells is None or empty.

    `data_sha256`: of the manifest, so of every image's pixels, label, masks and group. `copies`,
    `scenes`: pairs of images that are copies, or frames of one scene. `groups`: groups of more
    than one image, and `grouped`: images in them. `sides`: images by class and status in the
    split. `excluded`: images by reason. `lock_id` names the assignment, `split_sha256` its rows.
    """

    data_sha256: str | None
    copies: int | None
    scenes: int | None
    groups: int | None
    grouped: int | None
    sides: dict[tuple[str, str], int]
    excluded: dict[str, int]
    lock_id: str | None
    split_sha256: str | None
    run: TrainRun | None


def read_provenance(space: Workspace) -> Provenance:
    """Read what is there; only a damaged file is an error.

    Raises:
        InvalidDataError: a file is damaged.
    """
    pairs = read_rows(space.pairs, Pair) if space.pairs.exists() else None
    rows = read_rows(space.split_csv, SplitRow) if space.split_csv.exists() else []
    lock = read_if_there(space.split_json, Lock)
    sizes = [count for count in Counter(row.group for row in rows).values() if count > 1]
    return Provenance(
        data_sha256=hash_file(space.manifest) if space.manifest.exists() else None,
        copies=None if pairs is None else sum(pair.kind == "copy" for pair in pairs),
        scenes=None if pairs is None else sum(pair.kind == "scene" for pair in pairs),
        groups=len(sizes) if rows else None,
        grouped=sum(sizes) if rows else None,
        sides=dict(Counter((row.label, row.status) for row in rows)),
        excluded=dict(Counter(row.reason for row in rows if row.status == "excluded")),
        lock_id=lock.lock_id if lock else None,
        split_sha256=lock.entries[-1].rows_sha256 if lock and lock.entries else None,
        run=read_if_there(space.train_run, TrainRun),
    )


def read_if_there(path: Path, kind: type[T]) -> T | None:
    """A value that `write_json` wrote, or None where there is no such file.

    Raises:
        InvalidDataError: the file is damaged.
    """
    return read_json(path, kind) if path.exists() else None


def terms(provenance: Provenance) -> tuple[tuple[str, str], ...]:
    """Data and split, as terms and values."""
    known = (
        ("Data (sha256 of the manifest)", provenance.data_sha256),
        ("Split lock", provenance.lock_id),
        ("Split (sha256 of its rows)", provenance.split_sha256),
    )
    return tuple((term, "not available" if value is None else value) for term, value in known)


def run_terms(run: TrainRun | None) -> tuple[tuple[str, str], ...]:
    """How the weights were made, as terms and values."""
    if run is None:
        return (("Training run", "not available: reports/train/run.json is not there"),)
    known = run.git_commit != UNKNOWN
    dirty = ", with uncommitted changes" if known and run.git_dirty else ""
    several = "" if run.processes == 1 else f", {run.processes} processes"
    return (
        ("Trained at commit", f"{run.git_commit}{dirty}" if known else "not available"),
        ("Trained on", f"{run.device}{several}, {run.threads} threads"),
        ("Training took", duration(run.seconds)),
        ("Python", run.python),
        ("Packages", ", ".join(f"{name} {version}" for name, version in run.packages.items())),
    )


def likeness(provenance: Provenance) -> str | None:
    """Copies, scenes and groups in a sentence; None where no file tells of them."""
    if provenance.copies is None or provenance.scenes is None:
        return None
    found = f"Likeness: {counted(provenance.copies, 'pair')} of copies and "
    found += f"{counted(provenance.scenes, 'pair')} of frames of one scene were found"
    if provenance.groups is None:
        return f"{found}."
    return (
        f"{found}; {counted(provenance.grouped or 0, 'image')} in "
        f"{counted(provenance.groups, 'group')} of more than one, each on one side of the split."
    )


def excluded(provenance: Provenance) -> tuple[str, ...]:
    """How many images the split leaves out, by reason, the most frequent first."""
    by_count = sorted(provenance.excluded.items(), key=lambda item: (-item[1], item[0]))
    return tuple(f"{counted(count, 'image')}: {reason}" for reason, count in by_count)


def counted(number: int, noun: str) -> str:
    """How many: `1 seed`, `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """In the units a person would use."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


_COUNTS = ("tp", "fp", "fn", "coarse_tp", "coarse_fp", "coarse_fn")


@dataclass(frozen=True)
class EvaluatedImage:
    """One evaluated image: a row of per_image.csv.

    `image`: its path below raw/. `tp`, `fp`, `fn`: pixels of the fine net's mask against the truth,
    at native size; `coarse_*`: of the coarse net's. `served`: pixels of the mask served. `probs`:
    calibrated, by class. Counts of what the model does not tell are 0, and `probs` is empty for one
    that tells no class. `evidence_*`: the share of the class evidence inside the lesion, and what
    it would be by chance; None where it was not measured.
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
    evidence_inside: float | None = None
    evidence_chance: float | None = None

    @property
    def name(self) -> str:
        """The file's stem."""
        return self.image.rpartition("/")[2].rpartition(".")[0]

    @property
    def area(self) -> float:
        """The true lesion's share of the image, 0 to 1."""
        return (self.tp + self.fn) / self.pixels

    @property
    def dice(self) -> float | None:
        """Lesion Dice, 0 to 1; None where the truth is empty."""
        return _dice(self.tp, self.fp, self.fn)

    @property
    def coarse_dice(self) -> float | None:
        """Lesion Dice of the coarse net."""
        return _dice(self.coarse_tp, self.coarse_fp, self.coarse_fn)


@dataclass(frozen=True)
class ReportInputs:
    """Everything that a report tells; `curves` holds a mapping of column to figure an epoch.

    `subgroups` and what follows: None where the stage before did not write them.
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

    @property
    def split(self) -> str:
        """The split whose figures lead: test where it was evaluated, else val."""
        return "val" if self.evaluation.test is None else "test"

    @property
    def figures(self) -> dict[str, Figure]:
        """The figures of that split."""
        return self.evaluation.val if self.evaluation.test is None else self.evaluation.test

    @property
    def shown(self) -> tuple[EvaluatedImage, ...]:
        """The images of that split."""
        return tuple(case for case in self.cases if case.split == self.split)


def read_evidence(
    space: Workspace, spec: Spec, operating: Operating, identity: str
) -> ReportInputs:
    """Read the files of a finished evaluation; the model's own parts come from its folder.

    Raises:
        InvalidDataError: a file is absent or damaged.
    """
    return ReportInputs(
        validation=read_json(space.validation, ValidationReport),
        curves=tuple(_epoch(row) for row in read_table(space.curves)),
        cases=tuple(_case(row) for row in read_table(space.per_image)),
        evaluation=read_json(space.metrics, Evaluation),
        drift=read_json(space.evaluation_drift, DriftReport),
        gate=read_json(space.gate, GateResult),
        spec=spec,
        operating=operating,
        identity=identity,
        provenance=read_provenance(space),
        subgroups=read_if_there(space.subgroups, Subgroups),
        certainty=read_if_there(space.certainty, Certainty),
        mask_curve=read_if_there(space.mask_curve, MaskCurve),
        consistency=read_if_there(space.consistency, Consistency),
        opening=read_if_there(space.opening, EvaluationNumber),
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
        evidence_inside=_number(row.get("evidence_inside")),
        evidence_chance=_number(row.get("evidence_chance")),
    )


def _number(cell: str | None) -> float | None:
    return float(cell) if cell else None
