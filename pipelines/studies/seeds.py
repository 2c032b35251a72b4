"""Seeds study: the same settings with several seeds: each, their mean and their ensemble."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from hgmnet.calibration.operating_point import operating_point, predict_val
from hgmnet.config.params import Params
from hgmnet.data.atomic import atomic
from hgmnet.data.prepared import PreparedDataset
from hgmnet.errors import ConfigError
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.inference.tta import forward_tta
from hgmnet.models.device import best_device
from hgmnet.models.ensemble import joined, members
from hgmnet.models.spec import SPEC, WEIGHTS, load_spec
from hgmnet.splitting.cross_validation import JUDGED, OUT
from hgmnet.splitting.split_lock import test_sha
from hgmnet.training.lightning_module import EpochFigures
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import record_evaluation
from pipelines.report.inputs import counted
from pipelines.stages.calibrate import calibrate_model
from pipelines.stages.evaluate import looks, refuse_seen
from pipelines.stages.train import Recipe, epoch_line, fit_into
from pipelines.studies.cost_estimate import Progress, forecast
from pipelines.studies.definition import (
    SMOKE_IMAGES,
    Size,
    Study,
    StudyContext,
    StudyRun,
    apart,
)
from pipelines.studies.output import network, publish
from pipelines.studies.runner import cost, prepared
from pipelines.studies.training_run import made_now

ENSEMBLE, MEAN = "ensemble", "mean"
NOTES = (
    (
        "The interval is for other images of the same kind; the standard deviation over seeds is "
        "for another training on the same images."
    ),
    (
        "dvc repro registers the pre-declared first seed (train.seed), regardless of the other "
        "seeds. This study registers and promotes nothing."
    ),
)


def run(root: Path, params: Params, size: Size, *, only_say: bool) -> None:
    """Train each seed, evaluate each and their ensemble, and write reports/studies/seeds.

    Figures are on val; with `size.everything` also on test, in a folder of their own. Finished
    seeds are not trained again, and an interrupted training resumes. `only_say`: only report the
    estimated cost.

    Raises:
        ConfigError: fewer than 2 seeds, another study is running, or the prepared images have other
            settings.
        HgmnetError: training, calibration or evaluation failed.
    """
    if size.seeds < 2:
        raise ConfigError(f"--seeds {size.seeds}: expected 2 or more")
    workspace = Workspace(root, params.data.name)
    store = prepared(workspace, params)
    sha = test_sha((e.pixel_sha256, e.label) for e in store.entries if e.split == "test")
    if size.smoke:
        store, params = _few(store), size.of(params)
    done = _Seeds(StudyContext(workspace, store), params, size, sha)
    done.home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(done.home / "lock", timeout=0):
            done.run(only_say=only_say)
    except Timeout:
        raise ConfigError("another study of seeds is running in this checkout; wait") from None


def _few(store: PreparedDataset) -> PreparedDataset:
    """At most `SMOKE_IMAGES` of each class in each split."""
    taken: dict[tuple[str, str], int] = {}
    rows = []
    for row, entry in enumerate(store.entries):
        key = (entry.split, entry.label)
        taken[key] = taken.get(key, 0) + 1
        rows += [row] if taken[key] <= SMOKE_IMAGES else []
    images, masks = store.read(np.array(rows))
    return PreparedDataset(images, masks, tuple(store.entries[row] for row in rows))


@dataclass(frozen=True)
class _Seeds:
    bench: StudyContext
    params: Params
    size: Size
    sha: str

    @property
    def home(self) -> Path:
        """Folder of the models."""
        return self.bench.home / f"seeds{'-smoke' * self.size.smoke}"

    def cell(self, variant: str, seed: int, split: str) -> StudyRun:
        """One row's training, evaluated on a split."""
        changed = self.params.train.model_copy(update={"seed": seed})
        roles = {"test": OUT, split: JUDGED} if split == "test" else {"test": OUT}
        sides = tuple(roles.get(e.split, e.split) for e in self.bench.store.entries)
        return StudyRun(variant, 0, seed, self.params.model_copy(update={"train": changed}), sides)

    def run(self, *, only_say: bool) -> None:
        """Do the work of `run`, within the lock."""
        workspace, n = self.bench.workspace, self.size.seeds
        numbers = {f"seed {seed}": seed for seed in apart(self.params.train, n)}
        cells = {name: self.cell(name, seed, "test") for name, seed in numbers.items()}
        marks = {name: _recipe(cell).fingerprint(workspace.root) for name, cell in cells.items()}
        folders = {name: self.home / mark for name, mark in marks.items()}
        if not self.size.smoke:
            _take_over(workspace, folders, marks)
        todo = [name for name, folder in folders.items() if not (folder / SPEC).exists()]
        costs = forecast(self.bench, [cells[name] for name in todo], keep=True)
        left = f"{n - len(todo)} finished, {len(todo)} to train"
        about = f": {cost(costs)}" if todo else ""
        print(f"{n} seeds on {self.params.data.name}: {left}{about}")
        if only_say:
            return
        progress, trained = Progress(costs.seconds), dict[str, float]()
        for name, folder in folders.items():
            if name not in todo:
                print(f"{name}: finished before, not trained again")
            else:
                progress.start(todo.index(name))
                began = monotonic()
                _train_one(self.bench, cells[name], folder, progress)
                trained[name] = monotonic() - began
            calibrate_model(folder, workspace, self.params.calibrate)
        self.evaluate(folders, trained)

    def evaluate(self, folders: Mapping[str, Path], trained: Mapping[str, float]) -> None:
        """Evaluate every seed and the ensemble; with test, each counts as a test evaluation.

        `trained`: seconds of each training of this run.
        """
        workspace, store, device = self.bench.workspace, self.bench.store, best_device()
        models = {name: TorchPredictor.load(folder, device) for name, folder in folders.items()}
        models[ENSEMBLE] = _ensemble([*models.values()], store, self.params)
        splits = ("val", "test") if self.size.everything else ("val",)
        judged = [entry for entry in store.entries if entry.split in splits]
        command = f"hgmnet study seeds --seeds {self.size.seeds} --include-test"
        tables = {}
        for name, member in models.items():
            refuse_seen(store.entries, self.params.data.name, member.spec)
            if self.size.everything:
                record_evaluation(workspace, member.identity, self.sha, command)
            print(f"{name}: evaluated on {' and '.join(splits)}")
            found = [look.row for look in looks(workspace.raw, member, judged)]
            tables[name] = pd.DataFrame(found)
        for split in splits:
            parts = {name: table[table["split"] == split] for name, table in tables.items()}
            self.publish(split, parts, trained)

    def publish(
        self, split: str, tables: Mapping[str, pd.DataFrame], trained: Mapping[str, float]
    ) -> None:
        """Write a split's report; the first seed is the reference."""
        first = self.params.train.seed
        numbers = {name: int(name.split()[1]) for name in tables if name != ENSEMBLE}
        members = [(name, seed, tables[name]) for name, seed in numbers.items()]
        members += [(MEAN, seed, tables[name]) for name, seed in numbers.items()]
        members.append((ENSEMBLE, first, tables[ENSEMBLE]))
        rows = pd.concat(
            [table.assign(variant=name, fold=1, seed=seed) for name, seed, table in members]
        )
        cells = tuple(self.cell(name, seed, split) for name, seed, _ in members)
        titles = {name: name for name in tables} | {MEAN: "mean of the seeds"}
        titles[f"seed {first}"] += ", pre-declared first"
        study = Study(
            name="seeds",
            title=f"Seeds on {self.params.data.name}, {split}",
            question="How much of a figure is the seed's luck, and what is an ensemble worth?",
            cells=cells,
            variants={name: titles[name] for name in (*numbers, MEAN, ENSEMBLE)},
            reference=f"seed {first}",
            notes=NOTES,
            size=replace(self.size, everything=split == "test"),
        )
        images, groups = rows["image"].nunique(), rows["group"].nunique()
        of = f"{counted(images, 'image')} in {counted(groups, 'group')}"
        about = f"{self.params.data.name}, {split}: {of}. {network(study)}"
        folder = self.bench.workspace.reports / "studies" / study.folder
        made = [
            made_now(cell.sides, trained.get(cell.variant, 0), trained=cell.variant in trained)
            for cell in cells
        ]
        publish(study, rows.reset_index(drop=True), made, self.bench, folder, about=about)
        print(f"\n{(folder / 'table.md').read_text('utf-8')}\nwritten to {folder}")


def _train_one(bench: StudyContext, cell: StudyRun, folder: Path, progress: Progress) -> None:
    checkpoints, epochs = folder / "checkpoints", cell.params.train.all_epochs

    def tell(figures: EpochFigures) -> None:
        left = progress.after_epoch(figures.epoch, epochs)
        print(f"{cell.variant}, {epoch_line(figures, epochs)}; {left}")

    fit_into(
        folder,
        bench.store,
        _recipe(cell),
        root=bench.workspace.root,
        mark=folder.name,
        checkpoints=checkpoints,
        on_epoch=tell,
    )
    shutil.rmtree(checkpoints, ignore_errors=True)
    print(f"{cell.variant}: trained in {progress.after_cell()}")


def _recipe(cell: StudyRun) -> Recipe:
    """Recipe of `dvc repro`, also in its devices, so that its model is one of the seeds."""
    params = cell.params
    return Recipe(params.data, params.prepare, params.model, params.train)


def _take_over(workspace: Workspace, folders: Mapping[str, Path], marks: Mapping[str, str]) -> None:
    """Copy the model of `dvc repro` if it has the fingerprint of one of the seeds."""
    if not ((workspace.model / SPEC).exists() and (workspace.model / WEIGHTS).exists()):
        return
    made = load_spec(workspace.model).fingerprint
    for name, folder in folders.items():
        if marks[name] == made and not (folder / SPEC).exists():
            folder.mkdir(exist_ok=True)
            for file in (WEIGHTS, SPEC):
                with atomic(folder / file) as part:
                    shutil.copy(workspace.model / file, part)


def _ensemble(
    models: Sequence[TorchPredictor], store: PreparedDataset, params: Params
) -> TorchPredictor:
    """Join the models, as `train.members` does, and calibrate them; identity: hash of theirs."""
    network = joined([one for model in models for one in members(model.network)])
    count, aim = len(members(network)), params.calibrate
    spec = models[0].spec.model_copy(update={"members": count})
    raw = predict_val(
        lambda square: forward_tta(network, spec, square, mirror=aim.mirror, scales=aim.scales),
        store,
    )
    identity = hashlib.sha256("".join(model.identity for model in models).encode()).hexdigest()
    return TorchPredictor(network, spec, operating_point(raw, store, spec, aim).operating, identity)
