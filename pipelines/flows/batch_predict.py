"""The flow `batch_predict`: predict a folder or table of images, each exactly once."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from filelock import FileLock, Timeout
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from hgmnet.config.params import load_params
from hgmnet.data.image_files import PASSED_OVER, passed_over_text, write_passed_over
from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError
from pipelines.artifacts.paths import Workspace
from pipelines.flows.prefect import artifacts, notifications
from pipelines.flows.prefect.parallel import GPU, map_tasks
from pipelines.flows.prefect.states import AnyState, propagate, state_of
from pipelines.prediction.batch import TABLE, BatchRequest, Job, asked_for, join, left, predict_part


@flow(flow_run_name=artifacts.run_name, **notifications.HOOKS)
def batch_predict(
    root: Path,
    source: Path,
    out: Path,
    *,
    version: str | None = None,
    part: int = 256,
    workers: int = 1,
    dask: str | None = None,
    log: Path | None = None,
) -> AnyState:
    """Predict a folder or a table of images with the champion: predictions.parquet and masks.

    Each image is predicted once: a run continues after a killed one, and predicts only the new
    images of a folder that has grown. Another model predicts all images again.

    Args:
        root: the repository root.
        source: a folder, or a CSV or Parquet table with a column `image`.
        out: folder of predictions.parquet and masks/, which may exist already.
        version: number of the version to predict with; default: the champion.
        part: images per task.
        workers: processes on this machine.
        dask: address of a Dask scheduler whose workers see the same folders; replaces `workers`.
        log: folder of the log of answers, to which they are appended; default: none.

    Returns:
        Completed; `Invalid data`, of the type Failed, where some images could not be read and the
        others were predicted; else Failed, with its reason.
    """
    try:
        asked = asked_for(source)
        opened = open_job(root, out, version, len(asked.images), return_state=True)
        if not opened.is_completed():
            return propagate(opened)
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", timeout=0):
            write_passed_over(out / PASSED_OVER, asked.passed_over)
            if asked.passed_over:
                text = passed_over_text(asked.passed_over, out / PASSED_OVER)
                get_run_logger().warning("%s", text)
            job = replace(cast("Job", opened.result()), log=log.absolute() if log else None)
            return _carried_out(job, asked.images, part, workers, dask)
    except Timeout:
        return state_of(ConfigError(f"another run writes to {out}; wait for its end"))
    except HgmnetError as error:
        return state_of(error)


def _carried_out(
    job: Job, asked: Sequence[BatchRequest], size: int, workers: int, dask: str | None
) -> AnyState:
    todo, log = left(job, asked), get_run_logger().info
    parts = [todo[start : start + size] for start in range(0, len(todo), size)]
    log("%d images, %d of them new: %d parts", len(asked), len(todo), len(parts))
    look = artifacts.share("batch-progress")
    for done, state in enumerate(map_tasks(predict, [(job, p) for p in parts], workers, dask), 1):
        if not state.is_completed():
            return propagate(state)
        look(done, len(parts), f"{min(done * size, len(todo))} of {len(todo)} images")
    rows = join(job, asked)
    summary = f"{len(todo)} images predicted by {job.called[0]}, {len(asked) - len(todo)} before"
    counts = [f"{name:<12}{n:>8}" for name, n in rows["decision"].value_counts().items()]
    lines = "\n".join([summary, "", *counts, str(job.out)])
    log("%s", lines)
    artifacts.text_artifact("batch-predict", lines)
    if failed := int(rows["error"].notna().sum()):
        why = f"{failed} of {len(asked)} images could not be read; reasons: {job.out / TABLE}"
        return state_of(InvalidDataError(why))
    return Completed(message=f"{summary}: {job.out / TABLE}")


@task(task_run_name="open job", cache_policy=NO_CACHE)
def open_job(root: Path, out: Path, version: str | None, images: int) -> Job | AnyState:
    """Fetch the model and load it once, so that its errors show before any prediction."""
    from hgmnet.prediction import backends
    from pipelines.prediction.onnx_export import val_images
    from pipelines.registry.loading import load_version
    from pipelines.registry.tracking_store import connect_with_retries, http_limits

    try:
        params = load_params(root / "params.yaml")
        name, workspace = params.registry.name, Workspace(root, params.data.name)
        with http_limits(timeout_s=60, retries=2):
            store = connect_with_retries(root, params.data.name)
            found = load_version(store, name, version, workspace.versions)
        finder, backend = backends.load(
            workspace.exports, found.folder, "auto", images, partial(val_images, root)
        )
    except HgmnetError as error:
        return state_of(error)
    kind: backends.Wanted = "torch" if backend.startswith("torch") else "onnx"
    called = f"{name} version {found.number}", backend
    return Job(workspace.exports, found.folder, finder.identity, kind, called, out.absolute())


@task(task_run_name="{asked[0].name} and on", tags=[GPU], cache_policy=NO_CACHE)
def predict(job: Job, asked: Sequence[BatchRequest]) -> int:
    """Write the images' masks and rows; return the number of unreadable images."""
    return predict_part(job, asked)
