"""A study's lines and tables from rows made by hand, its charts, and its forecast corrected."""

import re
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from small_store import CLASSES, params

from hgmnet.config.params import Params
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.metrics.segmentation import dice
from pipelines.report.charts import ForestRow, forest_plot, standalone
from pipelines.studies.aggregate import ALL, fold_lines, lines
from pipelines.studies.cost_estimate import Progress
from pipelines.studies.definition import Size, Study, StudyPart, StudyRun
from pipelines.studies.designs import grid
from pipelines.studies.output import latex, markdown, render
from tests.unit.test_report_comparison import rows, worse

SIZE = Size(folds=2, seeds=2, everything=False, smoke=False)
SETTING = "phantom, 12 images."


def study(**changes) -> Study:
    settings = params()
    cells = tuple(
        StudyRun(v, k, s, settings, ()) for v in ("full", "less") for k in (0, 1) for s in (0, 1)
    )
    known = {
        "name": "made",
        "title": "Made up",
        "question": "Does it add up?",
        "cells": cells,
        "variants": {"full": "full model", "less": "50 % & less_"},
        "reference": "full",
        "notes": ("Nothing.",),
        "size": SIZE,
    }
    return Study(**{**known, **changes})


def made() -> pd.DataFrame:
    """`full` is right in seed 0 and worse in seed 1; `less` is worse in both; folds by halves."""
    tables = []
    for variant, by_seed in (("full", (rows(), worse())), ("less", (worse(), worse()))):
        for seed, table in enumerate(by_seed):
            fold = [1 + (i >= 6) for i in range(len(table))]
            tables.append(table.assign(variant=variant, seed=seed, fold=fold))
    return pd.concat(tables, ignore_index=True)


def evaluate():
    return params().evaluate.model_copy(update={"draws": 100})


def found(table=None, **changes):
    asked = study(**changes)
    return lines(asked, made() if table is None else table, evaluate())


def test_values_spreads_and_differences_by_hand():
    by_key = {(x.variant, x.metric): x for x in found()}
    full, less = by_key["full", "lesion_dice"], by_key["less", "lesion_dice"]
    fine, poor = 16 / 18, 7 * 12 / 16 / 8
    assert full.value == pytest.approx((fine + poor) / 2)
    assert full.sd_seeds == pytest.approx(abs(fine - poor) / 2**0.5)
    assert less.sd_seeds == 0
    assert less.difference == pytest.approx((poor - fine) / 2)
    assert full.difference is None
    first, second = (fine + 3 * 0.75 / 4) / 2, (fine + 0.75) / 2  # the lost lesion is in fold 1
    assert full.sd_folds == pytest.approx(abs(first - second) / 2**0.5)
    assert (full.images, full.groups) == (8, 8)


def test_a_folds_own_figure_is_of_its_images():
    frame = made()
    for line in fold_lines(study(), frame):
        part = frame[
            (frame["variant"] == line.variant)
            & (frame["fold"] == line.fold)
            & (frame["seed"] == line.seed)
        ]
        if line.metric == "lesion_dice":
            lesion = part[part["label"] != "normal"]
            counts = (lesion[name].to_numpy() for name in ("tp", "fp", "fn"))
            assert line.value == pytest.approx(dice(*counts).mean())
        if line.metric == "accuracy":
            assert line.value == pytest.approx((part["label"] == part["predicted"]).mean())


def test_parts_know_their_images_alone():
    names = frozenset(rows()["image"][:3])
    told = [x for x in found(parts=(StudyPart("some", names),)) if x.metric == "accuracy"]
    assert {(x.part, x.images) for x in told} == {(ALL, 12), ("some", 3)}


def test_variants_of_different_images_are_refused():
    frame = made()
    with pytest.raises(InvalidDataError, match="variants differ in images"):
        found(frame[1:])
    with pytest.raises(InvalidDataError, match="variants differ in images"):
        found(pd.concat([frame, frame[:1]]))


def test_markdown_has_a_cell_for_every_column():
    text = markdown(study(), found(), SETTING)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert {line.count("|") for line in table} == {8}
    assert re.search(r"\| 50 % & less_ \| 0\.656 ± \d\.\d{3} \(.* to .*\) \| −0\.116 \(−", text)
    assert "one interval in twenty" in text


def test_latex_escapes_what_it_must_and_its_rows_are_whole():
    text = latex(study(), found(), SETTING)
    assert r"50 \% \& less\_" in text
    assert "−" not in text
    assert "±" not in text
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 2
    assert all(line.endswith(r"\\") for line in body)
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {6}


def test_a_study_of_one_variant_has_no_differences():
    alone = made()[lambda t: t["variant"] == "full"]
    told = found(alone, variants={"full": "full"}, reference=None)
    assert {x.difference for x in told} == {None}
    text = markdown(study(variants={"full": "full"}, reference=None), told, SETTING)
    assert "difference" not in text.lower()


def test_the_page_has_every_chart_and_a_chart_is_a_file_of_its_own():
    frame = made()
    page, plots = render(
        study(), lines(study(), frame, evaluate()), fold_lines(study(), frame), SETTING, "phantom"
    )
    assert page.count('<svg class="chart"') == len(plots) == 3
    for svg in plots.values():
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314


def test_a_forest_plot_puts_zero_where_nothing_changes():
    rows_ = [
        ForestRow("none", 0.0, -0.1, 0.1, "+0.000 (−0.1 to +0.1)"),
        ForestRow("up", 0.1, 0.0, 0.2, "+0.1"),
    ]
    svg = ET.fromstring(standalone(forest_plot("t", "gain", rows_)))  # noqa: S314
    space = "{http://www.w3.org/2000/svg}"
    (zero,) = (line for line in svg.iter(f"{space}line") if line.get("class") == "base")
    none, up = svg.iter(f"{space}circle")
    assert none.get("cx") == zero.get("x1")
    assert float(up.get("cx")) > float(none.get("cx"))


def test_what_is_left_is_corrected_by_what_was_taken():
    clock = iter([0, 0, 10, 20, 20, 80])
    progress = Progress([10, 0, 10, 20], now=lambda: next(clock))
    progress.start(0)
    assert progress.after_epoch(1, 2) == "about 70 s left"  # half of 10 took 10: twice; 35 are left
    assert progress.after_cell() == "20 s; about 60 s left"
    progress.start(2)
    assert progress.after_cell() == "60 s; about 80 s left"  # 80 s for 20: four times; 20 are left


def test_the_grid_is_of_settings_that_differ_and_can_be_had():
    rows_ = grid(params())
    settings = [row.params(params()) for row in rows_]
    seen = [f"{s.model_dump_json()} {r.given}" for s, r in zip(settings, rows_, strict=True)]
    assert len(set(seen)) == len(rows_) == 15
    assert [row.name for row in rows_][:3] == ["full", "map-shuffled", "map-truth"]
    assert all(isinstance(one, Params) for one in settings)
    assert sum(row.given != "own" for row in rows_) == 2
    assert set(CLASSES) == set(settings[0].data.classes)


def test_the_grid_starts_from_a_full_model_alone():
    plain = params()
    unet = plain.model.model_copy(update={"coarse": False, "gate": "none"})
    with pytest.raises(ConfigError, match=r"starts from the full model: set model\.coarse: true"):
        grid(plain.model_copy(update={"model": unet}))
