"""Every file that crosses a stage: its path, its type, how it is loaded and saved."""

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from hgmnet.config import SMALL, Frozen, Where
from hgmnet.errors import InvalidDataError
from hgmnet.figure import Figure

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Workspace:
    """Where things lie under the repository root, for one data set."""

    root: Path
    data: str

    @property
    def folder(self) -> Path:
        """The data set."""
        return self.root / "data" / self.data

    @property
    def raw(self) -> Path:
        """`<class>/<stem>.png` and `<stem>_mask*.png`."""
        return self.folder / "raw"

    @property
    def curation(self) -> Path:
        """The user's own list: image, group, exclude, reason."""
        return self.folder / "curation.csv"

    @property
    def manifest(self) -> Path:
        """A row an image: `hgmnet.data.record.Record`."""
        return self.folder / "manifest.csv"

    @property
    def pairs(self) -> Path:
        """The evidence for every likeness: `hgmnet.data.duplicates.Pair`."""
        return self.folder / "pairs.csv"

    @property
    def groups(self) -> Path:
        """Which images belong together, short enough for git: `hgmnet.data.record.Grouped`."""
        return self.folder / "groups.csv"

    @property
    def split_csv(self) -> Path:
        """The locked assignment: `hgmnet.data.split.Row`."""
        return self.folder / "split.csv"

    @property
    def split_json(self) -> Path:
        """The lock: `hgmnet.data.split.Lock`."""
        return self.folder / "split.json"

    @property
    def prepared(self) -> Path:
        """Arrays and an index of live rows: `hgmnet.data.store.Store`."""
        return self.folder / "prepared"

    @property
    def model(self) -> Path:
        """The model folder: weights.safetensors, model.json, operating.json, profile.json."""
        return self.root / "models" / "hgmnet"

    @property
    def reports(self) -> Path:
        """Everything that is told about data and model."""
        return self.root / "reports"

    @property
    def validation(self) -> Path:
        """`ValidationReport`."""
        return self.reports / "validation.json"

    @property
    def likeness(self) -> Path:
        """Label conflicts, copies and scenes with their pictures, one self-contained page."""
        return self.reports / "likeness.html"

    @property
    def data_docs(self) -> Path:
        """Great Expectations' own pages; not a DVC output."""
        return self.reports / "data_docs"

    @property
    def drift(self) -> Path:
        """New images against the model's: `hgmnet.drift.DriftReport`; not a DVC output."""
        return self.reports / "drift.json"

    @property
    def drift_docs(self) -> Path:
        """Great Expectations' own pages about them."""
        return self.reports / "drift" / "data_docs"

    @property
    def curves(self) -> Path:
        """A row an epoch: `hgmnet.learner.EpochFigures`."""
        return self.reports / "train" / "curves.csv"

    @property
    def train_metrics(self) -> Path:
        """The last epoch's figures, flat."""
        return self.reports / "train" / "metrics.json"

    @property
    def train_run(self) -> Path:
        """On what the weights were made: `TrainRun`."""
        return self.reports / "train" / "run.json"

    @property
    def comparison(self) -> Path:
        """Two versions side by side, one self-contained page; not a DVC output."""
        return self.reports / "compare" / "index.html"

    @property
    def evaluation(self) -> Path:
        """per_image.csv, metrics.json and the plot files."""
        return self.reports / "evaluation"

    @property
    def per_image(self) -> Path:
        """A row an image: `hgmnet.evaluation.image_row`."""
        return self.evaluation / "per_image.csv"

    @property
    def metrics(self) -> Path:
        """`Evaluation`."""
        return self.evaluation / "metrics.json"

    @property
    def evaluation_drift(self) -> Path:
        """The images whose figures lead against the model's: `hgmnet.drift.DriftReport`."""
        return self.evaluation / "drift.json"

    @property
    def subgroups(self) -> Path:
        """`Subgroups`."""
        return self.evaluation / "subgroups.json"

    @property
    def certainty(self) -> Path:
        """`Certainty`."""
        return self.evaluation / "certainty.json"

    @property
    def consistency(self) -> Path:
        """`Consistency`."""
        return self.evaluation / "consistency.json"

    @property
    def mask_curve(self) -> Path:
        """`MaskCurve`."""
        return self.reports / "calibration" / "mask_curve.json"

    @property
    def opening(self) -> Path:
        """`OpeningNumber`."""
        return self.evaluation / "opening.json"

    @property
    def change_plan(self) -> Path:
        """The change plan: `hgmnet.pccp.ChangePlans`; a person writes it."""
        return self.root / "pccp.yaml"

    @property
    def gate(self) -> Path:
        """`GateResult`."""
        return self.reports / "gate.json"

    @property
    def html(self) -> Path:
        """The report, one self-contained page."""
        return self.reports / "html" / "index.html"

    @property
    def model_card(self) -> Path:
        """The model card."""
        return self.reports / "model_card.md"

    @property
    def state(self) -> Path:
        """What belongs to this checkout alone: checkpoints, openings, locks. Not in DVC or git."""
        return self.root / ".hgmnet"

    @property
    def openings(self) -> Path:
        """A line for each evaluation on the test split: `pipelines.openings.Opening`."""
        return self.state / "openings.jsonl"


class FailedExpectation(Frozen):
    """An expectation that did not hold, and the files that broke it (all of them)."""

    expectation: str
    severity: Literal["critical", "warning"]
    meaning: str
    files: tuple[str, ...]


class LabelConflict(Frozen):
    """Copies with contradictory labels: the label by image, and which are copies of one another.

    `links` may name an image that curation excluded; pairs.csv has the evidence for each.
    """

    labels: dict[str, str]
    links: tuple[tuple[str, str], ...]


class ValidationReport(Frozen):
    """What validation found, sorted, without times; `passed`: nothing critical failed.

    `shares`: by what was seen (burned-in marks, colour) and class, the share of usable images.
    """

    data: str
    passed: bool
    images: int
    per_class: dict[str, int]
    shares: dict[str, dict[str, float]]
    expectations: int
    failures: tuple[FailedExpectation, ...]
    conflicts: tuple[LabelConflict, ...]


class TrainRun(Frozen):
    """How the weights were made; a fact of that training, which a cached model keeps.

    `seconds`: of the process that ended it; what a killed one did before is not in it. `params`:
    train's sections, with dotted keys. `packages`: installed versions by name.
    """

    git_commit: str
    git_dirty: bool
    device: str
    processes: int
    threads: int
    seconds: float
    python: str
    packages: dict[str, str]
    params: dict[str, str]


class Evaluation(Frozen):
    """Figures by split; `test` is None where the test split was not opened.

    `model`: the hash that the model is known by that was asked.
    """

    data: str
    model: str
    test_sha: str
    val: dict[str, Figure]
    test: dict[str, Figure] | None
    baselines: dict[str, Figure]


class Subgroup(Frozen):
    """The figures of the images with one value (`small`) of one column (`lesion_size`)."""

    column: str
    value: str
    figures: dict[str, Figure]

    def small(self, metric: str) -> bool:
        """Whether a figure rests on too few images to say anything."""
        return self.figures[metric].n < SMALL


class Subgroups(Frozen):
    """Where the model is better and worse, on the split whose figures lead."""

    data: str
    test_sha: str
    split: str
    groups: tuple[Subgroup, ...]


class CoveragePoint(Frozen):
    """The figures of the most certain `share` of the images, 0 < share <= 1."""

    share: float
    figures: dict[str, Figure]


class Certainty(Frozen):
    """Whether uncertainty tells where the model errs, on the split whose figures lead.

    `refer_above`: the bound, chosen on val, above which an image is referred to a person; None
    where none was worth it. `referred`: share of the images above it. `referred_error`,
    `kept_error`: mean error (`hgmnet.certainty.errors`) of those and of the rest. `risk_areas`:
    area under the risk-coverage curve (`hgmnet.referral.risk_area`) of the images ordered by the
    uncertainty that is served (`uncertainty`), by either part of it, and `at_random`; smaller is
    better.
    """

    data: str
    split: str
    refer_above: float | None
    referred: float
    referred_error: float | None
    kept_error: float | None
    risk_areas: dict[str, float]
    points: tuple[CoveragePoint, ...]


class Ruled(Frozen):
    """The figures as served with these consistency rules, on or off."""

    normal_means_no_mask: bool
    no_mask_means_normal: bool
    figures: dict[str, Figure]


class Consistency(Frozen):
    """What the consistency rules do, on the split whose figures lead, each on and off."""

    data: str
    split: str
    rules: tuple[Ruled, ...]


class MaskPoint(Frozen):
    """On val: what a mask threshold and a minimum area (share of the image) give, as served.

    `lesion_dice`, `normal_fp_rate`: None where val has no image with a lesion, or none without.
    """

    mask_threshold: float
    min_area: float
    lesion_dice: float | None
    normal_fp_rate: float | None


class MaskCurve(Frozen):
    """The mask operating points looked at on val, the plain one first, and the one chosen.

    For a model that tells no mask there is none.
    """

    points: tuple[MaskPoint, ...]
    chosen: MaskPoint | None


class OpeningNumber(Frozen):
    """Which opening of this test split, counted in this checkout, first showed this model to it.

    1 is the first; None where the test split was not opened. It is not the count of openings, which
    grows on: `hgmnet register` adds up what all checkouts did.
    """

    test_sha: str
    number: int | None


MISSING = "missing"


class CheckResult(Frozen):
    """One check of the gate: the value that was held against the bound, and what came of it.

    `where`: the subgroup, None for all images. `n`: images behind the value, None where there is no
    figure; fewer than `min_n` fail. `reason`: `missing` where the model has no such figure.
    """

    metric: str
    on: Literal["point", "conservative"]
    where: Where | None
    min_n: int
    bound: float
    value: float | None
    n: int | None
    passed: bool
    reason: str

    @property
    def judged(self) -> bool:
        """Whether there was a value, on enough images, to be held against the bound."""
        return self.value is not None and self.n is not None and self.n >= self.min_n


class ClauseResult(Frozen):
    """What a clause of the change plan says of this model.

    `clause`: where it stands in the plan, as `fixed.classes`. `status`: `held`; `breached`: the
    model is outside the plan; `due`: it must be validated again (only `revalidate.*`); `not
    judged`: it needs the test split, which was not opened, or what images.csv does not tell.
    `reason`: in words, always.
    """

    clause: str
    status: Literal["held", "breached", "due", "not judged"]
    reason: str


class GateResult(Frozen):
    """The gate's verdict and everything behind it.

    `passed`: every check holds and no clause of the plan is breached. `checks`: those that
    params.yaml asks for. `plan`: every clause of the plan of `registry` in pccp.yaml, whose sha256
    is `plan_sha256`.
    """

    data: str
    test_sha: str
    status: Literal["passed", "failed", "not judged"]
    checks: tuple[CheckResult, ...]
    registry: str
    plan_sha256: str
    plan: tuple[ClauseResult, ...]

    @property
    def breached(self) -> tuple[ClauseResult, ...]:
        """The clauses that put the model outside the plan."""
        return tuple(clause for clause in self.plan if clause.status == "breached")

    @property
    def due(self) -> tuple[ClauseResult, ...]:
        """The clauses that ask for a new validation."""
        return tuple(clause for clause in self.plan if clause.status == "due")


def write_json(path: Path, value: BaseModel | Mapping[str, Any]) -> None:
    """Write a value as sorted, indented JSON, whole or not at all."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_text(path, json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, kind: type[T]) -> T:
    """Read a value that `write_json` wrote.

    Raises:
        InvalidDataError: the file is absent or is not a `kind`.
    """
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"), strict=False)
    except FileNotFoundError:
        msg = f"{path} is missing; `dvc repro` makes it"
        raise InvalidDataError(msg) from None
    except ValidationError as error:
        msg = f"{path} is no {kind.__name__}: {error.errors()[0]['msg']}; remake it: dvc repro -f"
        raise InvalidDataError(msg) from None


def write_rows(path: Path, kind: type[T], rows: Iterable[T]) -> None:
    """Write values as CSV, a column a field of `kind`; a tuple becomes its parts joined by `|`."""
    write_table(path, tuple(kind.model_fields), (row.model_dump(mode="json") for row in rows))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV (UTF-8, Unix line ends), whole or not at all."""
    part = _part(path)
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    part.replace(path)


def read_rows(path: Path, kind: type[T]) -> list[T]:
    """Read what `write_rows` wrote.

    Raises:
        InvalidDataError: the file is absent, or a row is not a `kind`; the message names the line.
    """
    rows = read_table(path)
    tuples = {name for name, field in kind.model_fields.items() if "tuple" in str(field.annotation)}
    read = []
    for number, row in enumerate(rows, start=2):
        plain = {
            k: (tuple(filter(None, v.split("|"))) if k in tuples else v) for k, v in row.items()
        }
        try:
            read.append(kind.model_validate(plain, strict=False))
        except ValidationError as error:
            first = error.errors()[0]
            msg = f"{path}, line {number}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise InvalidDataError(msg) from None
    return read


def read_table(path: Path) -> list[dict[str, str]]:
    """Read rows as text, column by name.

    Raises:
        InvalidDataError: the file is absent.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        msg = f"{path} is missing; `dvc repro` makes it"
        raise InvalidDataError(msg) from None


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "|".join(map(str, value)) if isinstance(value, list | tuple) else value


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    part = _part(path)
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _part(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}.{os.getpid()}.part")
