"""External validation: a trained model on a data set that it has never seen."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hgmnet.config import Data, Params
from hgmnet.data.store import Entry, Store
from hgmnet.drift import DriftReport
from hgmnet.inference import Predictor
from hgmnet.subgroups import parts
from pipelines.drift import drift_of
from pipelines.files import write_json
from pipelines.registry.study_runs import StudyRuns
from pipelines.report import wording
from pipelines.stages.calibrate import operating_point, predict_val
from pipelines.stages.evaluate import Look, looks
from pipelines.studies.cell import Bench, Cell
from pipelines.studies.design import SMOKE_IMAGES, Part, Size, Study
from pipelines.studies.fitting import Made
from pipelines.studies.foreign import Foreign, foreign, part_of, said, squares
from pipelines.studies.pace import span
from pipelines.studies.publish import publish
from pipelines.studies.summary import ALL, Line
from pipelines.subgroups import facts_of
from pipelines.workspace import Workspace

SERVED, AGAIN = "served", "recalibrated"
TITLES = {SERVED: "as served", AGAIN: "operating point chosen anew"}
NOTES = (
    (
        "One other data set is one other place: its scanners, its people, and how it was chosen. "
        "Another set may say something else."
    ),
    (
        "Prevalence and the mix of findings differ between sets; accuracy and calibration follow "
        "them, so compare sensitivity, specificity and lesion Dice first."
    ),
    "Truth was drawn by others, by their own rules: part of a lower Dice may be their outline.",
    "Subgroups of a few images have intervals that hold almost anything.",
)


@dataclass(frozen=True)
class Asked:
    """What is to be judged: the model, on which set, with which class for which.

    `recalibrate`: a share of the set to choose the operating point on anew; None: not at all.
    """

    predictor: Predictor
    name: str
    folder: Path
    data: str
    mapping: Mapping[str, str]
    recalibrate: float | None
    smoke: bool


def run(root: Path, params: Params, asked: Asked) -> None:
    """Judge the model and write reports/studies/external-<data>.

    Raises:
        ConfigError: it is the model's own set, or its classes have no counterpart.
        InvalidDataError: the model has seen all of it.
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
    began = time.monotonic()
    seen = _looks(space, asked.predictor, found.entries)
    case = _Case(space, settings, asked, found, _drift(space, asked, seen))
    case.write({SERVED: seen}, ["judged"] * len(seen), time.monotonic() - began)
    if asked.recalibrate is not None:
        began = time.monotonic()
        sides = part_of(found.entries, asked.recalibrate, params.split.seed)
        rest = [look for look, side in zip(seen, sides, strict=True) if side == "judged"]
        again = _again(case, sides)
        case.write({SERVED: rest, AGAIN: again}, sides, time.monotonic() - began)


@dataclass(frozen=True)
class _Case:
    """One model on one set: what all that is written of it shares."""

    space: Workspace
    params: Params
    asked: Asked
    found: Foreign
    drift: DriftReport

    def write(
        self, seen: Mapping[str, Sequence[Look]], sides: Sequence[str], seconds: float
    ) -> None:
        """Write a report of what was seen, by variant; `sides` of all images of the set."""
        tables = [_table(name, some, self.asked) for name, some in seen.items()]
        rows = pd.concat(tables, ignore_index=True)
        study = self._study(rows, list(seen), sides)
        empty = np.zeros((len(self.found.entries), 1, 1), np.uint8)
        bench = Bench(self.space, Store(empty, empty, self.found.entries))
        folder = self.space.reports / "studies" / study.folder
        made = [_made(sides, seconds) for _ in study.cells]
        told = _setting(self.asked, rows, list(sides).count("val"))
        lines = publish(study, rows, made, bench, folder, told=told)
        write_json(folder / "drift.json", self.drift)
        _record(self.space, self.asked, study, lines, folder)
        print(f"\n{(folder / 'table.md').read_text()}\nwritten to {folder}")

    def _study(self, rows: pd.DataFrame, variants: Sequence[str], sides: Sequence[str]) -> Study:
        asked, seed = self.asked, self.asked.predictor.spec.seed
        calm = f"{wording.drift(self.drift)} drift.json beside this page has each of them."
        anew = AGAIN in variants
        return Study(
            name=f"external-{asked.data}" + (f"-{AGAIN}" if anew else ""),
            title=f"External validation on {asked.data}",
            question=f"What does {asked.name} reach on images from elsewhere?",
            cells=tuple(Cell(name, 0, seed, self.params, tuple(sides)) for name in variants),
            variants={name: TITLES[name] for name in variants},
            reference=SERVED if anew else None,
            notes=NOTES,
            facts=(said(self.found, asked.data), calm),
            size=Size(folds=2, seeds=1, everything=False, smoke=asked.smoke),
            parts=tuple(_parts(self.space, rows[rows["variant"] == SERVED])),
        )


def _again(case: _Case, sides: Sequence[str]) -> list[Look]:
    """What the model says of the rest once its operating point is chosen on the part."""
    predictor, entries = case.asked.predictor, case.found.entries
    part = squares(case.space, entries, sides, predictor.spec)
    raw = predict_val(predictor.look, part)
    chosen = operating_point(raw, part, predictor.spec, case.params.calibrate).operating
    views = {"mirror": predictor.operating.mirror, "scales": predictor.operating.scales}
    point = chosen.model_copy(update=views)
    changed = Predictor(predictor.network, predictor.spec, point, predictor.identity)
    rest = [entry for entry, side in zip(entries, sides, strict=True) if side == "judged"]
    return _looks(case.space, changed, rest)


def _parts(space: Workspace, table: pd.DataFrame) -> list[Part]:
    """The subgroups that the set's images.csv and manifest tell: device, BI-RADS, lesion size."""
    return [
        Part(f"{part.column.replace('_', ' ')}: {part.value}", frozenset(part.table["image"]))
        for part in parts(table, facts_of(space))
    ]


def _looks(space: Workspace, predictor: Predictor, entries: Sequence[Entry]) -> list[Look]:
    """Every image's row; how long it will take is said after the first ones."""
    found: list[Look] = []
    began = time.monotonic()
    for look in looks(space.raw, predictor, entries):
        found.append(look)
        if len(found) == 16 < len(entries):
            left = (time.monotonic() - began) / 16 * (len(entries) - 16)
            print(f"{len(entries)} images, about {span(left)}")
    return found


def _table(name: str, seen: Sequence[Look], asked: Asked) -> pd.DataFrame:
    table = pd.DataFrame([look.row for look in seen]).assign(split="external")
    return table.assign(variant=name, fold=1, seed=asked.predictor.spec.seed)


def _few(found: Foreign, *, smoke: bool) -> Foreign:
    if not smoke:
        return found
    counts: dict[str, int] = {}
    few = []
    for entry in found.entries:
        counts[entry.label] = counts.get(entry.label, 0) + 1
        few += [entry] if counts[entry.label] <= SMOKE_IMAGES else []
    return Foreign(tuple(few), found.mapping, found.missing, found.seen)


def _drift(space: Workspace, asked: Asked, seen: Sequence[Look]) -> DriftReport:
    facts = {str(look.row["image"]): look.facts for look in seen}
    identity = asked.predictor.identity
    return drift_of(asked.folder, identity, facts, space.raw, f"set {asked.data}")


def _setting(asked: Asked, rows: pd.DataFrame, part: int) -> str:
    images, groups = rows["image"].nunique(), rows["group"].nunique()
    aside = f" {part} further images chose the new operating point; they are not judged."
    identity = asked.predictor.identity[:12]
    return f"{asked.data}: {images} images in {groups} groups; model {identity}." + aside * (
        part > 0
    )


def _made(sides: Sequence[str], seconds: float) -> Made:
    cuda = torch.cuda.is_available()
    return Made(
        seconds=round(seconds, 1),
        trained=False,
        train_images=0,
        val_images=list(sides).count("val"),
        judged_images=list(sides).count("judged"),
        device=torch.cuda.get_device_name() if cuda else "CPU",
        threads=torch.get_num_threads(),
        torch=version("torch"),
        date=datetime.now(UTC).date().isoformat(),
    )


def _record(
    space: Workspace, asked: Asked, study: Study, lines: Sequence[Line], folder: Path
) -> None:
    """A parent run and a child a variant, in the experiment of the set."""
    told = {"model": asked.name, "model_sha256": asked.predictor.identity, "data": asked.data}
    marks = f"{study.folder}-{asked.predictor.identity[:16]}"
    memo = space.state / "studies" / f"{marks}.json"
    runs = StudyRuns(space.root, asked.data, memo, name="external", params=told)
    whole = [line for line in lines if line.part == ALL and line.value is not None]
    for name in study.variants:
        figures = {line.metric: line.value or 0.0 for line in whole if line.variant == name}
        runs.child(name, told | {"variant": name}, figures)
    runs.finish({f"{line.variant}.{line.metric}": line.value or 0.0 for line in whole}, folder)
