"""Run a study: print its estimated cost, compute the missing runs, and write the report."""

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd
from filelock import FileLock, Timeout

from hgmnet.config.params import Params
from hgmnet.data.prepared import PreparedDataset, open_prepared
from hgmnet.data.progress import span
from hgmnet.errors import ConfigError
from hgmnet.splitting.split_lock import test_sha
from hgmnet.training.lightning_module import EpochFigures
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import (
    opening_number,
    read_evaluations,
    record_evaluation,
)
from pipelines.registry.study_runs import StudyRuns
from pipelines.report.inputs import counted
from pipelines.stages.train import epoch_line, refuse_own
from pipelines.studies import designs, training_run
from pipelines.studies.aggregate import ALL, fold_lines
from pipelines.studies.cost_estimate import Forecast, Progress, forecast
from pipelines.studies.definition import Size, Study, StudyContext, StudyRun
from pipelines.studies.output import publish


def prepared(workspace: Workspace, params: Params) -> PreparedDataset:
    """Open the prepared images.

    Raises:
        ConfigError: they have other settings, or training would overwrite its initial weights.
        InvalidDataError: there are none.
    """
    refuse_own(workspace, params.train)
    store = open_prepared(workspace.prepared)
    side = store.images.shape[1]
    if side != params.prepare.side:
        raise ConfigError(
            f"{workspace.prepared} has images of {side} px, but params.yaml has "
            f"prepare.side: {params.prepare.side}; run `dvc repro prepare`"
        )
    return store


Declare = Callable[[PreparedDataset, Params, Size], Study]
Say = Callable[[str], None]
_REFUSED = re.compile(r"[^\w\-. /]")  # characters that MLflow doesn't accept in a metric's name
_ROOM = 1.1  # times the estimated disk space of the models


def declaration(name: str, **options: object) -> Declare:
    """Return a study's function of `designs`; `options`: its own, as `only` of the ablation."""
    return cast("Declare", partial(getattr(designs, name), **options))


def run_study(
    root: Path,
    params: Params,
    declare: Declare,
    size: Size,
    *,
    keep: bool,
    only_say: bool,
    say: Say,
) -> str:
    """Run a study that `declare` designs, or resume an interrupted one.

    `keep`: whether model folders are kept for reuse by other studies. `only_say`: only report the
    estimated cost. `say`: called with each line of progress: estimated cost, each epoch, each run.

    Returns:
        The study's table and the folder of its files; empty for `only_say`.

    Raises:
        ConfigError: the same study is running, the prepared images have other settings, or the
            disk is too full.
        HgmnetError: training or calibration failed.
    """
    workspace = Workspace(root, params.data.name)
    store = prepared(workspace, params)
    study, bench = declare(store, params, size), StudyContext(workspace, store)
    costs = forecast(bench, study.cells, keep=keep)
    say(announcement(study, costs, params.data.name))
    if only_say:
        return ""
    _refuse_full(bench.home, costs)
    try:
        with FileLock(bench.home / f"{study.folder}.lock", timeout=0):
            return _run(bench, study, params, costs, say, keep=keep)
    except Timeout:
        raise ConfigError(f"study {study.name} is running here; wait, then rerun") from None


def announcement(study: Study, costs: Forecast, data: str) -> str:
    """Format the number of remaining runs and their estimated cost on this machine."""
    cells, size = len(study.cells), study.size
    left = cells - costs.finished
    seeds = counted(size.seeds, "seed")
    what = f"study {study.name} on {data}: {cells} cells ({size.folds} folds, {seeds})"
    if not left:
        return f"{what}, all finished before"
    return f"{what}, {costs.finished} finished before; {left} to do: {cost(costs)}"


def cost(costs: Forecast) -> str:
    """Format trainings, time, memory and disk."""
    room = f"{costs.memory:.1f} GiB of memory and {costs.disk:.2f} GiB of disk"
    return f"{counted(costs.trainings, 'training')}, about {span(costs.total)}, {room}"


def _run(
    bench: StudyContext, study: Study, params: Params, costs: Forecast, say: Say, *, keep: bool
) -> str:
    if study.size.everything:
        _open_test(bench, study)
    root, data = bench.workspace.root, params.data.name
    memo = bench.home / f"{study.folder}-{_mark(bench, study)[:16]}.json"
    runs = StudyRuns(root, data, memo, name=study.name, params=_values(study))
    try:
        rows = _compute(bench, study, costs, runs, say, keep=keep)
    except BaseException:
        runs.stopped()
        raise
    folder = bench.workspace.reports / "studies" / study.folder
    made = [training_run.made(bench, cell) for cell in study.cells]
    found = publish(study, rows, made, bench, folder)
    values = {
        _REFUSED.sub("_", f"{line.variant}.{line.metric}"): line.value
        for line in found
        if line.part == ALL and line.value is not None
    }
    runs.finish(values, folder)
    return f"{(folder / 'table.md').read_text('utf-8')}\nwritten to {folder}"


def _compute(
    bench: StudyContext, study: Study, costs: Forecast, runs: StudyRuns, say: Say, *, keep: bool
) -> pd.DataFrame:
    progress, tables = Progress(costs.seconds), []
    standing = {
        bench.model_folder(cell) for cell in study.cells if training_run.fitted(bench, cell)
    }
    for index, cell in enumerate(study.cells):
        there = training_run.judged(bench, cell)
        progress.start(index)
        stays = keep or bench.model_folder(cell) in standing or _shared(bench, study, index)
        made = training_run.compute(bench, cell, _teller(cell, progress, say), keep=stays)
        table = training_run.read(bench, cell)
        tables.append(table)
        metrics = {
            line.metric: line.value for line in fold_lines(study, table) if line.value is not None
        }
        runs.child(cell.name, _settings(cell), metrics | {"seconds": made.seconds})
        number, how = f"{index + 1}/{len(study.cells)}", "there already"
        say(f"{number} {cell.name}: {how if there else progress.after_cell()}")
    return pd.concat(tables, ignore_index=True)


def _teller(cell: StudyRun, progress: Progress, say: Say) -> Callable[[EpochFigures], None]:
    epochs = cell.params.train.all_epochs

    def tell(figures: EpochFigures) -> None:
        left = progress.after_epoch(figures.epoch, epochs)
        say(f"{cell.name}, {epoch_line(figures, epochs)}; {left}")

    return tell


def _shared(bench: StudyContext, study: Study, index: int) -> bool:
    """Whether a later run of this study uses the same model with another map."""
    mine = bench.model_folder(study.cells[index])
    return any(bench.model_folder(cell) == mine for cell in study.cells[index + 1 :])


def _open_test(bench: StudyContext, study: Study) -> None:
    """Record the test evaluation before anything is computed; a resumed study is the same one."""
    entries = [entry for entry in bench.store.entries if entry.split == "test"]
    sha = test_sha((entry.pixel_sha256, entry.label) for entry in entries)
    command = f"hgmnet study {study.name} --include-test"
    known, model = read_evaluations(bench.workspace.openings), f"study {_mark(bench, study)}"
    if opening_number(known, sha, model) is None:
        record_evaluation(bench.workspace, model, sha, command)


def _mark(bench: StudyContext, study: Study) -> str:
    names = "".join(bench.rows_file(cell).name for cell in study.cells)
    return hashlib.sha256(names.encode()).hexdigest()


def _refuse_full(home: Path, costs: Forecast) -> None:
    free = shutil.disk_usage(home).free / 2**30
    if costs.disk * _ROOM > free:
        raise ConfigError(
            f"the models of this study need {costs.disk:.1f} GiB and {free:.1f} GiB of disk are "
            "free; add --drop-models, or free space"
        )


def _values(study: Study) -> dict[str, str]:
    size = {name: str(value) for name, value in asdict(study.size).items()}
    return size | {"variants": ", ".join(study.variants)}


def _settings(cell: StudyRun) -> dict[str, str]:
    model = {f"model.{k}": str(v) for k, v in cell.params.model.model_dump(mode="json").items()}
    own = {"variant": cell.variant, "fold": str(cell.fold + 1), "seed": str(cell.seed)}
    return own | model | {"map": cell.given, "train_images": str(cell.count("train"))}
