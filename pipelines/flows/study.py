"""The flow `study`: `hgmnet study`, its trainings one by one or in parallel."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from hgmnet.config.params import Params, load_params
from hgmnet.errors import HgmnetError
from pipelines.flows.prefect import artifacts, notifications
from pipelines.flows.prefect.parallel import GPU, map_tasks
from pipelines.flows.prefect.states import AnyState, propagate, state_of

if TYPE_CHECKING:
    from hgmnet.training.lightning_module import EpochFigures
    from pipelines.studies.definition import Size, Study, StudyContext

Kind = Literal["crossval", "leakage", "ablation", "curve"]


@flow(flow_run_name="{kind}, {folds} folds, {seeds} seeds", **notifications.HOOKS)
def study(
    root: Path,
    kind: Kind = "crossval",
    *,
    folds: int = 5,
    seeds: int = 1,
    only: Sequence[str] = (),
    smoke: bool = False,
    workers: int = 1,
    dask: str | None = None,
) -> AnyState:
    """Cross-validation, leakage, ablation or learning curve, on train and val.

    Args:
        root: the repository root.
        kind: which study.
        folds: number of folds, assigned by groups.
        seeds: trainings per fold.
        only: of the ablation: these variants and the full model.
        smoke: a few images and one epoch, as a quick test.
        workers: processes on this machine.
        dask: address of a Dask scheduler whose workers see the same folders; replaces `workers`.

    Returns:
        Completed; else Failed, with its reason.
    """
    from pipelines.studies.definition import Size

    try:
        size = Size(folds=folds, seeds=seeds, everything=False, smoke=smoke)
        asked = StudyRequest(root, load_params(root / "params.yaml"), kind, size, tuple(only))
        calls = [(asked, numbers, name) for numbers, name in asked.trainings()]
        for state in map_tasks(fit, calls, workers, dask):
            if not state.is_completed():
                return propagate(state)
        written = asked.write_up()
    except HgmnetError as error:
        return state_of(error)
    get_run_logger().info("%s", written)
    artifacts.text_artifact(f"{kind}-{asked.params.data.name}", written)
    return Completed(message=f"{len(calls)} models: reports/studies/")


@dataclass(frozen=True)
class StudyRequest:
    """A requested study, from which each process builds its own context and cells."""

    root: Path
    params: Params
    kind: Kind
    size: "Size"
    only: tuple[str, ...]

    @property
    def options(self) -> dict[str, Any]:
        """Options of the study's `design`."""
        return {"only": self.only} if self.kind == "ablation" else {}

    def declared(self) -> tuple["StudyContext", "Study"]:
        """Build the trainings' shared context and the study."""
        from pipelines.artifacts.paths import Workspace
        from pipelines.studies.definition import StudyContext
        from pipelines.studies.runner import declaration, prepared

        workspace = Workspace(self.root, self.params.data.name)
        store = prepared(workspace, self.params)
        declare = declaration(self.kind, **self.options)
        return StudyContext(workspace, store), declare(store, self.params, self.size)

    def trainings(self) -> list[tuple[list[int], str]]:
        """Per model: indices of the cells that use it, and the name of the first cell."""
        bench, study = self.declared()
        together: dict[Path, list[int]] = {}
        for number, cell in enumerate(study.cells):
            together.setdefault(bench.model_folder(cell), []).append(number)
        return [(numbers, study.cells[numbers[0]].name) for numbers in together.values()]

    def write_up(self) -> str:
        """Write tables and page with the study's command, which finds all cells finished."""
        from pipelines.studies.runner import declaration, run_study

        declare, log = declaration(self.kind, **self.options), get_run_logger().info
        options: Any = {"keep": True, "only_say": False, "say": lambda line: log("%s", line)}
        return run_study(self.root, self.params, declare, self.size, **options)


@task(task_run_name="{name}", tags=[GPU], cache_policy=NO_CACHE)
def fit(asked: StudyRequest, numbers: Sequence[int], name: str) -> None:  # noqa: ARG001
    """Train one model and evaluate each cell that uses it, unless already done."""
    from pipelines.stages.train import epoch_line
    from pipelines.studies import training_run

    (bench, study), log = asked.declared(), get_run_logger().info
    for cell in (study.cells[number] for number in numbers):
        epochs = cell.params.train.all_epochs

        def on_epoch(figures: "EpochFigures", epochs: int = epochs) -> None:
            log("%s", epoch_line(figures, epochs))

        training_run.compute(bench, cell, on_epoch, keep=True)
