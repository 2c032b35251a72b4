"""What a report is made of: the files that the earlier stages wrote, as typed values."""

from collections.abc import Mapping
from dataclasses import dataclass

from hgmnet.drift import DriftReport
from hgmnet.figure import Figure
from hgmnet.models.spec import Operating, Spec
from pipelines.artifacts import (
    Certainty,
    Consistency,
    Evaluation,
    GateResult,
    MaskCurve,
    OpeningNumber,
    Subgroups,
    ValidationReport,
)
from pipelines.files import read_json, read_table
from pipelines.report.provenance import Provenance, read_if_there, read_provenance
from pipelines.workspace import Workspace

_COUNTS = ("tp", "fp", "fn", "coarse_tp", "coarse_fp", "coarse_fn")


@dataclass(frozen=True)
class Case:
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
class Evidence:
    """Everything that a report tells; `curves` holds a mapping of column to figure an epoch.

    `subgroups` and what follows: None where the stage before did not write them.
    """

    validation: ValidationReport
    curves: tuple[Mapping[str, float], ...]
    cases: tuple[Case, ...]
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
    opening: OpeningNumber | None = None

    @property
    def split(self) -> str:
        """The split whose figures lead: test where it was opened, else val."""
        return "val" if self.evaluation.test is None else "test"

    @property
    def figures(self) -> dict[str, Figure]:
        """The figures of that split."""
        return self.evaluation.val if self.evaluation.test is None else self.evaluation.test

    @property
    def shown(self) -> tuple[Case, ...]:
        """The images of that split."""
        return tuple(case for case in self.cases if case.split == self.split)


def read_evidence(space: Workspace, spec: Spec, operating: Operating, identity: str) -> Evidence:
    """Read the files of a finished evaluation; the model's own parts come from its folder.

    Raises:
        InvalidDataError: a file is absent or damaged.
    """
    return Evidence(
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
        opening=read_if_there(space.opening, OpeningNumber),
    )


def _dice(tp: int, fp: int, fn: int) -> float | None:
    return 2 * tp / (2 * tp + fp + fn) if tp + fn else None


def _epoch(row: Mapping[str, str]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items() if value not in {"", "nan"}}


def _case(row: Mapping[str, str]) -> Case:
    probs = {
        key.removeprefix("prob_"): float(value)
        for key, value in row.items()
        if key.startswith("prob_") and value
    }
    return Case(
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
