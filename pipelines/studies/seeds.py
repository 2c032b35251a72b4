"""Seeds study: train the same settings with several seeds and report the spread."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import pandas as pd
from filelock import FileLock, Timeout

from hgmnet.calibration.operating_point import operating_point, predict_val
from hgmnet.config.base import Frozen
from hgmnet.config.evaluation import Evaluate
from hgmnet.config.params import Params
from hgmnet.data.atomic import atomic, write_table, write_text
from hgmnet.data.prepared import PreparedDataset, open_prepared
from hgmnet.errors import ConfigError
from hgmnet.evaluation.figures import figures
from hgmnet.evaluation.per_image import columns
from hgmnet.inference.ensemble import TEMPERATURE, EnsemblePredictor, mean_prediction
from hgmnet.inference.predictor import Predictor, TorchPredictor
from hgmnet.models import description
from hgmnet.models.device import best_device
from hgmnet.models.spec import SPEC, WEIGHTS, Spec, load_spec
from hgmnet.splitting.split_lock import test_sha
from hgmnet.training.lightning_module import EpochFigures
from pipelines.artifacts.io import write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import record_evaluation
from pipelines.report import text as wording
from pipelines.stages.calibrate import calibrate_model
from pipelines.stages.evaluate import looks, refuse_seen
from pipelines.stages.train import Recipe, epoch_line, fit_into
from pipelines.studies.cost_estimate import Progress
from pipelines.studies.output import markdown_table, records
from pipelines.studies.runner import prepared

METRICS = ("lesion_dice", "accuracy")
ENSEMBLE, MEAN = "ensemble", "mean"
_LEGEND = (
    "In brackets: the 95 % interval by groups, for other images of the same kind. ± is the "
    "standard deviation over seeds, for another training on the same images."
)
_UNCHANGED = (
    "`dvc repro` registers the pre-declared first seed, {seed} (train.seed), regardless of the "
    "other seeds. This study registers and promotes nothing."
)


class SeedCell(Frozen):
    """A figure of one member on one split, with its 95 % interval by groups.

    `member`: `seed <n>`, `mean` or `ensemble`. `sd`: over seeds; None unless `member` is `mean`.
    """

    split: str
    member: str
    metric: str
    value: float | None
    sd: float | None
    low: float | None
    high: float | None
    images: int
    groups: int


def cells(tables: Mapping[str, pd.DataFrame], spec: Spec, evaluate: Evaluate) -> list[SeedCell]:
    """Compute every figure of the study.

    The mean's interval resamples groups, each with the predictions of all seeds: it covers the
    variation over images; `sd` that over seeds.

    Args:
        tables: rows of per_image.csv by member: the seeds in order, then the ensemble.
        spec: spec of the models.
        evaluate: draws and seed of the bootstrap.
    """
    seeds = {name: table for name, table in tables.items() if name != ENSEMBLE}
    members = {**seeds, MEAN: pd.concat(list(seeds.values())), ENSEMBLE: tables[ENSEMBLE]}
    found: list[SeedCell] = []
    for split in ("val", "test"):
        for name, table in members.items():
            part = table[table["split"] == split]
            found += _cells(part, split, name, spec, evaluate) if len(part) else []
    return [_spread(cell, found, len(seeds)) for cell in found]


def lines(found: Sequence[SeedCell], spec: Spec, first: int) -> list[str]:
    """Format the table in Markdown, with title, encoder and legend; one line per item."""
    facts = dict(description.shape(spec))
    begun = facts["Encoder weights at the start"]
    learnt = [metric for metric in METRICS if any(cell.metric == metric for cell in found)]
    head = ["split", "model", *(wording.title(metric) for metric in learnt)]
    return [
        f"# Seeds on {spec.data}",
        "",
        f"{facts['Encoder']}; weights at the start: {begun}. {_LEGEND}",
        "",
        markdown_table(head, _rows(found, learnt, first)),
        "",
        _UNCHANGED.format(seed=first),
    ]


def _cells(
    part: pd.DataFrame, split: str, member: str, spec: Spec, evaluate: Evaluate
) -> Iterator[SeedCell]:
    draws, seed = evaluate.draws, evaluate.seed
    measured = figures(part, spec.classes, draws, seed, model=spec.model, only=METRICS)
    for metric, figure in measured.items():
        yield SeedCell(
            split=split,
            member=member,
            metric=metric,
            value=figure.value,
            sd=None,
            low=figure.low,
            high=figure.high,
            images=part["image"].nunique(),
            groups=figure.groups,
        )


def _spread(cell: SeedCell, found: Sequence[SeedCell], seeds: int) -> SeedCell:
    """Add value and standard deviation over seeds (n - 1) to the mean; return others unchanged."""
    same = [c for c in found if (c.split, c.metric) == (cell.split, cell.metric)]
    values = [c.value for c in same if c.member not in {MEAN, ENSEMBLE} and c.value is not None]
    if cell.member != MEAN or len(values) < max(seeds, 2):
        return cell
    return cell.model_copy(update={"value": fmean(values), "sd": stdev(values)})


def _rows(found: Sequence[SeedCell], learnt: Sequence[str], first: int) -> Iterator[list[str]]:
    by_key = {(cell.split, cell.member, cell.metric): cell for cell in found}
    for split, member in dict.fromkeys((cell.split, cell.member) for cell in found):
        titles = {MEAN: "mean of the seeds", f"seed {first}": f"seed {first}, pre-declared first"}
        cells = (by_key[split, member, metric] for metric in learnt)
        shown = [wording.spread(c.value, c.low, c.high, c.sd) for c in cells]
        yield [split, titles.get(member, member), *shown]


def run(root: Path, params: Params, n: int) -> None:
    """Train n seeds, evaluate each and their ensemble, and write reports/studies/seeds.

    Finished seeds are not trained again, and an interrupted training resumes.

    Raises:
        ConfigError: n is below 2, another study is running, or the prepared images have other
            settings.
        HgmnetError: training, calibration or evaluation failed.
    """
    if n < 2:
        raise ConfigError(f"--seeds {n}: expected 2 or more")
    workspace = Workspace(root, params.data.name)
    store = prepared(workspace, params)
    home = workspace.state / "studies" / "seeds"
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "lock", timeout=0):
            folders = _train(workspace, params, home, n)
            found = _evaluate(workspace, params, store, folders, n)
    except Timeout:
        raise ConfigError("another study of seeds is running in this checkout; wait") from None
    spec = load_spec(folders[f"seed {params.train.seed}"])
    text = lines(found, spec, params.train.seed)
    reports = _reports(workspace)
    write_rows(reports / "table.csv", SeedCell, found)
    write_text(reports / "table.md", "\n".join(text) + "\n")
    print("\n" + "\n".join([*text, "", f"written to {reports.relative_to(root)}"]))


def _train(workspace: Workspace, params: Params, home: Path, n: int) -> dict[str, Path]:
    """Train and calibrate; return one model folder per seed, by member's name."""
    recipes = _recipes(params, n)
    marks = {name: recipe.fingerprint(workspace.root) for name, recipe in recipes.items()}
    folders = {name: home / mark for name, mark in marks.items()}
    _take_over(workspace, folders, marks)
    todo = [name for name, folder in folders.items() if not (folder / SPEC).exists()]
    print(f"{n} seeds on {params.data.name}: {n - len(todo)} finished, {len(todo)} to train")
    progress = Progress([1.0] * len(todo))
    for name, folder in folders.items():
        if name not in todo:
            print(f"{name}: finished before, not trained again")
        else:
            progress.start(todo.index(name))
            _train_one(workspace, recipes[name], folder, name, progress)
        calibrate_model(folder, workspace, params.calibrate)
    return folders


def _train_one(
    workspace: Workspace, recipe: Recipe, folder: Path, name: str, progress: Progress
) -> None:
    checkpoints, epochs = folder / "checkpoints", recipe.train.epochs

    def tell(figures: EpochFigures) -> None:
        left = progress.after_epoch(figures.epoch, epochs)
        print(f"{name}, {epoch_line(figures, epochs)}; {left}")

    fit_into(
        folder,
        open_prepared(workspace.prepared),
        recipe,
        root=workspace.root,
        mark=folder.name,
        checkpoints=checkpoints,
        on_epoch=tell,
    )
    shutil.rmtree(checkpoints, ignore_errors=True)
    print(f"{name}: trained in {progress.after_cell()}")


def _recipes(params: Params, n: int) -> dict[str, Recipe]:
    first = params.train.seed
    return {
        f"seed {seed}": Recipe(
            params.data,
            params.prepare,
            params.model,
            params.train.model_copy(update={"seed": seed}),
        )
        for seed in range(first, first + n)
    }


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


def _evaluate(
    workspace: Workspace,
    params: Params,
    store: PreparedDataset,
    folders: Mapping[str, Path],
    n: int,
) -> list[SeedCell]:
    """Evaluate every seed and the ensemble; with test, each counts as a test evaluation."""
    device = best_device()
    seeds = {name: TorchPredictor.load(folder, device) for name, folder in folders.items()}
    together = _ensemble(list(seeds.values()), store, params)
    members: dict[str, Predictor] = {**seeds, ENSEMBLE: together}
    splits = {"val", "test"} if params.evaluate.include_test else {"val"}
    judged = [entry for entry in store.entries if entry.split in splits]
    sha = test_sha((e.pixel_sha256, e.label) for e in store.entries if e.split == "test")
    tables = {}
    for name, member in members.items():
        refuse_seen(store.entries, params.data.name, member.spec)
        if params.evaluate.include_test:
            record_evaluation(
                workspace, member.identity, sha, f"hgmnet study seeds --seeds {n} --include-test"
            )
        print(f"{name}: evaluated on {' and '.join(sorted(splits, reverse=True))}")
        tables[name] = pd.DataFrame([look.row for look in looks(workspace.raw, member, judged)])
    _write(workspace, tables, params.data.classes)
    return cells(tables, members[ENSEMBLE].spec, params.evaluate)


def _ensemble(
    members: Sequence[TorchPredictor], store: PreparedDataset, params: Params
) -> EnsemblePredictor:
    raw = predict_val(lambda square: mean_prediction(members, square), store)
    spec = members[0].spec
    chosen = operating_point(raw, store, spec, params.calibrate, temperature=TEMPERATURE)
    return EnsemblePredictor(members, chosen.operating)


def _write(
    workspace: Workspace, tables: Mapping[str, pd.DataFrame], classes: Sequence[str]
) -> None:
    rows = pd.concat([table.assign(member=name) for name, table in tables.items()])
    path = _reports(workspace) / "per_image.csv"
    write_table(path, ["member", *columns(classes)], records(rows))


def _reports(workspace: Workspace) -> Path:
    return workspace.reports / "studies" / "seeds"
