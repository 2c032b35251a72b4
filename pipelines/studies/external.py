"""External validation: evaluate a trained model on a data set that it has never seen."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hgmnet.calibration.operating_point import operating_point, predict_val
from hgmnet.config.data import Data
from hgmnet.config.params import Params
from hgmnet.data.images import read_grey
from hgmnet.data.masks import read_truth
from hgmnet.data.prepared import PreparedDataset, PreparedImage
from hgmnet.data.progress import span
from hgmnet.data.resize import fit_mask, resize_to_input
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.evaluation.drift import DriftReport
from hgmnet.evaluation.subgroups import parts
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import Spec
from hgmnet.splitting import contamination
from hgmnet.splitting.cross_validation import assign_folds
from pipelines.artifacts.io import write_json
from pipelines.artifacts.paths import Workspace
from pipelines.drift.measure import drift_of
from pipelines.promotion.comparison import all_entries, count_test_images
from pipelines.registry.study_runs import StudyRuns
from pipelines.report import text
from pipelines.report.inputs import counted
from pipelines.stages.evaluate import Look, looks
from pipelines.stages.evaluation_tables import facts_of
from pipelines.studies.aggregate import ALL, Line
from pipelines.studies.definition import (
    SMOKE_IMAGES,
    Size,
    Study,
    StudyContext,
    StudyPart,
    StudyRun,
)
from pipelines.studies.output import publish
from pipelines.studies.training_run import made_now


@dataclass(frozen=True)
class ExternalDataset:
    """Images that a model may be evaluated on, with labels of its classes.

    `mapping`: class of the set to class of the model. `missing`: classes of the model without an
    image. `seen`: number of images left out because the model has seen them.
    """

    entries: tuple[PreparedImage, ...]
    mapping: dict[str, str]
    missing: tuple[str, ...]
    seen: int


def foreign(space: Workspace, spec: Spec, mapping: Mapping[str, str]) -> ExternalDataset:
    """Read the set's manifest, map its classes, and leave out images that the model has seen.

    Args:
        space: workspace of the other data set.
        spec: spec of the model.
        mapping: class of the set to class of the model, where the names differ.

    Raises:
        ConfigError: it is the model's training set, was not ingested yet, or a class is unmapped.
        InvalidDataError: the model has seen all its images.
    """
    if space.data == spec.data:
        raise ConfigError(f"--data {space.data}: the model was trained on it; name another set")
    entries = all_entries(space)
    labels = sorted({entry.label for entry in entries})
    mapped = {label: mapping.get(label, label) for label in labels}
    _refuse_strange(mapped, mapping, spec.classes)
    checked = contamination.check(entries, space.data, [spec])
    if not checked.clean:
        raise InvalidDataError(f"the model has seen all {len(entries)} images of {space.data}")
    clean = tuple(e.model_copy(update={"label": mapped[e.label]}) for e in checked.clean)
    there = {entry.label for entry in clean}
    missing = tuple(name for name in spec.classes if name not in there)
    return ExternalDataset(clean, mapped, missing, len(checked.seen))


def calibration_subset(
    entries: Sequence[PreparedImage], share: float, seed: int
) -> tuple[str, ...]:
    """Return `val` for a fraction of the images, else `judged`; grouped and stratified by class.

    The fraction is rounded to 1/n with an integer n of at least 2.

    Raises:
        ConfigError: the fraction is not in (0, 0.5], or a class has too few images for it.
    """
    if not 0 < share <= 0.5:
        raise ConfigError(f"--recalibrate {share:g}: expected a fraction above 0 and at most 0.5")
    own = [entry.model_copy(update={"split": "train"}) for entry in entries]
    assigned = assign_folds(own, round(1 / share), seed)
    return tuple("val" if fold == 0 else "judged" for fold in assigned)


def squares(
    space: Workspace, entries: Sequence[PreparedImage], sides: Sequence[str], spec: Spec
) -> PreparedDataset:
    """Load the images of `val` at the model's input size, in memory."""
    chosen = [
        entry.model_copy(update={"split": "val"})
        for entry, side in zip(entries, sides, strict=True)
        if side == "val"
    ]
    images, masks = [], []
    for entry in chosen:
        grey = read_grey(space.raw, entry.image)
        images.append(resize_to_input(grey, spec.prepare))
        masks.append(fit_mask(read_truth(space.raw, entry), spec.prepare))
    return PreparedDataset(np.stack(images), np.stack(masks).astype(np.uint8), tuple(chosen))


def said(found: ExternalDataset, data: str) -> str:
    """Format the class mapping, the number of images per class, and those left out."""
    pairs = ", ".join(f"{theirs} → {ours}" for theirs, ours in found.mapping.items())
    counts = Counter(entry.label for entry in found.entries)
    described = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    missing = (
        f" No image of {' or '.join(found.missing)}: a decision for it is an error, and its "
        "figures are left out."
        if found.missing
        else ""
    )
    count = counted(found.seen, "image")
    seen = f" Left out because the model has seen them: {count} of {data}."
    return f"Classes: {pairs}; {described}.{missing}{seen if found.seen else ''}"


def _refuse_strange(
    mapped: Mapping[str, str], mapping: Mapping[str, str], classes: Sequence[str]
) -> None:
    if unused := [name for name in mapping if name not in mapped]:
        raise ConfigError(
            f"--map {unused[0]}=...: the set has no such class; it has {', '.join(mapped)}"
        )
    for theirs, ours in mapped.items():
        if ours not in classes:
            raise ConfigError(
                f"class `{theirs}` is none of the model's classes, {', '.join(classes)}; map it: "
                f"--map {theirs}=<class>"
            )


SERVED, AGAIN = "served", "recalibrated"
TITLES = {SERVED: "as served", AGAIN: "operating point chosen again"}
NOTES = (
    (
        "One other data set has the scanners, patients and selection of one other hospital. "
        "Results on another set may differ."
    ),
    (
        "Prevalence and the mix of findings differ between sets; accuracy and calibration follow "
        "them, so compare sensitivity, specificity and lesion Dice first."
    ),
    "Other annotators outline by other rules: part of a lower Dice may come from their outlines.",
    "Subgroups of a few images have intervals too wide for a conclusion.",
)


@dataclass(frozen=True)
class ExternalRequest:
    """Model, data set and class mapping of an external validation.

    `recalibrate`: fraction of the set to choose a new operating point on; None: keep the model's.
    """

    predictor: TorchPredictor
    name: str
    folder: Path
    data: str
    mapping: Mapping[str, str]
    recalibrate: float | None
    smoke: bool


def run(root: Path, params: Params, asked: ExternalRequest) -> None:
    """Evaluate the model and write reports/studies/external-<data>.

    Raises:
        ConfigError: it is the model's training set, or a class is unmapped.
        InvalidDataError: the model has seen all its images.
    """
    space, spec = Workspace(root, asked.data), asked.predictor.spec
    found = _few(foreign(space, spec, asked.mapping), smoke=asked.smoke)
    settings = params.model_copy(
        update={
            "data": Data(name=asked.data, classes=spec.classes),
            "model": spec.model,
            "prepare": spec.prepare,
        }
    )
    print(f"study external: {asked.name} on {asked.data}. {said(found, asked.data)}")
    images = {entry.image for entry in found.entries}
    command = f"hgmnet study external --data {asked.data}"
    count_test_images(space, images, asked.predictor.identity, command)
    began = time.monotonic()
    seen = _looks(space, asked.predictor, found.entries)
    case = _Case(space, settings, asked, found, _drift(space, asked, seen))
    case.write({SERVED: seen}, ["judged"] * len(seen), time.monotonic() - began)
    if asked.recalibrate is not None:
        began = time.monotonic()
        sides = calibration_subset(found.entries, asked.recalibrate, params.split.seed)
        rest = [look for look, side in zip(seen, sides, strict=True) if side == "judged"]
        again = _again(case, sides)
        case.write({SERVED: rest, AGAIN: again}, sides, time.monotonic() - began)


@dataclass(frozen=True)
class _Case:
    """Shared by the reports of one model on one data set."""

    space: Workspace
    params: Params
    asked: ExternalRequest
    found: ExternalDataset
    drift: DriftReport

    def write(
        self, seen: Mapping[str, Sequence[Look]], sides: Sequence[str], seconds: float
    ) -> None:
        """Write a report of the predictions by variant; `sides`: split of each image of the set."""
        tables = [_table(name, some, self.asked) for name, some in seen.items()]
        rows = pd.concat(tables, ignore_index=True)
        study = self._study(rows, list(seen), sides)
        empty = np.zeros((len(self.found.entries), 1, 1), np.uint8)
        bench = StudyContext(self.space, PreparedDataset(empty, empty, self.found.entries))
        folder = self.space.reports / "studies" / study.folder
        made = [made_now(tuple(sides), seconds, trained=False)] * len(study.cells)
        described = _setting(self.asked, rows, list(sides).count("val"))
        lines = publish(study, rows, made, bench, folder, about=described)
        write_json(folder / "drift.json", self.drift)
        _record(self.space, self.asked, study, lines, folder)
        print(f"\n{(folder / 'table.md').read_text('utf-8')}\nwritten to {folder}")

    def _study(self, rows: pd.DataFrame, variants: Sequence[str], sides: Sequence[str]) -> Study:
        asked, seed = self.asked, self.asked.predictor.spec.seed
        calm = f"{text.drift(self.drift)} Details: drift.json beside this page."
        again = AGAIN in variants
        return Study(
            name=f"external-{asked.data}" + (f"-{AGAIN}" if again else ""),
            title=f"External validation on {asked.data}",
            question=f"What does {asked.name} reach on images of another data set?",
            cells=tuple(StudyRun(name, 0, seed, self.params, tuple(sides)) for name in variants),
            variants={name: TITLES[name] for name in variants},
            reference=SERVED if again else None,
            notes=NOTES,
            facts=(said(self.found, asked.data), calm),
            size=Size(folds=2, seeds=1, everything=False, smoke=asked.smoke),
            parts=tuple(_parts(self.space, rows[rows["variant"] == SERVED])),
        )


def _again(case: _Case, sides: Sequence[str]) -> list[Look]:
    """Predict the `judged` images with an operating point chosen on `val`."""
    predictor, entries = case.asked.predictor, case.found.entries
    part = squares(case.space, entries, sides, predictor.spec)
    raw = predict_val(predictor.predict_raw, part)
    chosen = operating_point(raw, part, predictor.spec, case.params.calibrate).operating
    views = {"mirror": predictor.operating.mirror, "scales": predictor.operating.scales}
    point = chosen.model_copy(update=views)
    changed = TorchPredictor(predictor.network, predictor.spec, point, predictor.identity)
    rest = [entry for entry, side in zip(entries, sides, strict=True) if side == "judged"]
    return _looks(case.space, changed, rest)


def _parts(space: Workspace, table: pd.DataFrame) -> list[StudyPart]:
    """Subgroups from the set's images.csv and manifest: device, BI-RADS, lesion size."""
    return [
        StudyPart(f"{part.column.replace('_', ' ')}: {part.value}", frozenset(part.table["image"]))
        for part in parts(table, facts_of(space))
    ]


def _looks(
    space: Workspace, predictor: TorchPredictor, entries: Sequence[PreparedImage]
) -> list[Look]:
    """Evaluate every image; print the estimated duration after the first 16."""
    found: list[Look] = []
    began = time.monotonic()
    for look in looks(space.raw, predictor, entries):
        found.append(look)
        if len(found) == 16 < len(entries):
            left = (time.monotonic() - began) / 16 * (len(entries) - 16)
            print(f"{len(entries)} images, about {span(left)}")
    return found


def _table(name: str, seen: Sequence[Look], asked: ExternalRequest) -> pd.DataFrame:
    table = pd.DataFrame([look.row for look in seen]).assign(split="external")
    return table.assign(variant=name, fold=1, seed=asked.predictor.spec.seed)


def _few(found: ExternalDataset, *, smoke: bool) -> ExternalDataset:
    if not smoke:
        return found
    counts: dict[str, int] = {}
    few = []
    for entry in found.entries:
        counts[entry.label] = counts.get(entry.label, 0) + 1
        few += [entry] if counts[entry.label] <= SMOKE_IMAGES else []
    return ExternalDataset(tuple(few), found.mapping, found.missing, found.seen)


def _drift(space: Workspace, asked: ExternalRequest, seen: Sequence[Look]) -> DriftReport:
    facts = {str(look.row["image"]): look.facts for look in seen}
    identity = asked.predictor.identity
    return drift_of(asked.folder, identity, facts, space.raw, f"set {asked.data}")


def _setting(asked: ExternalRequest, rows: pd.DataFrame, part: int) -> str:
    images, groups = rows["image"].nunique(), rows["group"].nunique()
    aside = f" {part} further images were used to choose the new operating point."
    identity = asked.predictor.identity[:12]
    return f"{asked.data}: {images} images in {groups} groups; model {identity}." + aside * (
        part > 0
    )


def _record(
    space: Workspace, asked: ExternalRequest, study: Study, lines: Sequence[Line], folder: Path
) -> None:
    """Record a parent run and one child run per variant in the set's experiment."""
    described = {"model": asked.name, "model_sha256": asked.predictor.identity, "data": asked.data}
    marks = f"{study.folder}-{asked.predictor.identity[:16]}"
    memo = space.state / "studies" / f"{marks}.json"
    runs = StudyRuns(space.root, asked.data, memo, name="external", params=described)
    whole = [line for line in lines if line.part == ALL and line.value is not None]
    for name in study.variants:
        figures = {line.metric: line.value or 0.0 for line in whole if line.variant == name}
        runs.child(name, described | {"variant": name}, figures)
    runs.finish({f"{line.variant}.{line.metric}": line.value or 0.0 for line in whole}, folder)
