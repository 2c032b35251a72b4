"""The flow `data_watch`: import a data set's source if it has changed, and retrain if needed."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from hgmnet.config.params import load_params
from hgmnet.data.atomic import write_text
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import HgmnetError
from hgmnet.importing import detect, source_files
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.flows.prefect import artifacts, notifications
from pipelines.flows.prefect.states import AnyState, propagate, state_of
from pipelines.flows.training import stage, training
from pipelines.operations.run_overrides import alone
from pipelines.stages.runner import stamp


@flow(flow_run_name=artifacts.run_name, **notifications.HOOKS)
def data_watch(root: Path, *, source: Path, train: bool = True, promote: bool = True) -> AnyState:
    """Import a source's images if they have changed, validate them, and train if needed.

    The source is the whole data set as `hgmnet import` reads it: a folder that grows, or an export
    that is rewritten. If it fails validation, the errors are reported and the present images stay.

    Args:
        root: the repository root.
        source: a folder, zip or table.
        train: start the flow `training` if images, labels or masks are new, changed or gone.
        promote: after training, compare the new challenger with the champion.

    Returns:
        Completed, named `Unchanged` if images, labels and masks are the same; or as `training`.
    """
    try:
        space = Workspace(root, load_params(root / "params.yaml").data.name)
        mark, memo = _mark(source), space.state / "watch" / f"{space.data}.sha256"
        if memo.exists() and memo.read_text(encoding="utf-8") == mark:
            return Completed(name="Unchanged", message=f"{source} has not changed")
        with alone(root, "a data_watch flow"):
            before = _images(space)
            state: AnyState = bring(root, space.data, source, return_state=True)
            for target in ("ingest", "validate"):
                if state.is_completed():
                    state = stage(root, target, return_state=True)
            if not state.is_completed():
                return propagate(state)
            changes = compare(space, before)
        write_text(memo, mark)
    except HgmnetError as error:
        return state_of(error)
    if not changes:
        return Completed(name="Unchanged", message="the same images with the same labels and masks")
    if not train:
        return Completed(message=changes)
    return propagate(training(root, promote=promote, return_state=True))


@task(task_run_name="bring", cache_policy=NO_CACHE)
def bring(root: Path, data: str, source: Path) -> AnyState | None:
    """Import the source, replacing the present images."""
    from pipelines.operations.import_dataset import import_dataset, passed_over, summary

    try:
        found = import_dataset(root, data, str(source), replace=True, unattended=True)
    except HgmnetError as error:
        return state_of(error)
    get_run_logger().info("%s", summary(found, passed_over(root, data)))
    return None


@task(task_run_name="compare", cache_policy=NO_CACHE)
def compare(space: Workspace, before: dict[str, tuple[str, ...]]) -> str:
    """Summarise new, changed and removed images, and drift; return it, empty if none."""
    after = _images(space)
    new = [pixels for pixels in after if pixels not in before]
    gone = sum(pixels not in after for pixels in before)
    changed = sum(after[p][1:] != before[p][1:] for p in after if p in before)
    if not new and not gone and not changed:
        return ""
    changes = f"{len(new)} images are new, {changed} have another label or mask, {gone} are gone"
    lines = [changes, *_drift(space, [after[pixels][0] for pixels in new])]
    get_run_logger().info("%s", "\n".join(lines))
    artifacts.text_artifact(f"data-{space.data}", "\n".join(lines))
    return changes


def _images(space: Workspace) -> dict[str, tuple[str, ...]]:
    """By pixel hash: an image's name, label, mask pixels and exclusion reason."""
    if not space.manifest.exists():
        return {}
    return {
        one.pixel_sha256: (one.image, one.label, str(one.mask_pixels), str(one.excluded))
        for one in read_rows(space.manifest, ImageRecord)
        if not one.error
    }


def _drift(space: Workspace, names: list[str]) -> list[str]:
    """Lines on the drift of new images from the training images of the model on disk."""
    from hgmnet.models.spec import PROFILE
    from pipelines.drift.report import profile_folder, report_lines

    if not names or not (space.model / PROFILE).exists():
        return []
    with TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            link = Path(folder) / f"{number}{Path(name).suffix}"
            link.symlink_to((space.raw / name).resolve())
        return ["", *report_lines(profile_folder(space.root, Path(folder), space.model))]


def _mark(source: Path) -> str:
    """SHA-256 of the files' names, sizes and times; the source is read only if it changed.

    The time of a file's last change of any kind is among them: on network drives a copied file
    keeps its time of modification, and images without compression are all of one size.
    """
    digest = hashlib.sha256(stamp(source, changed=True).encode())
    for file in _named(source):
        digest.update(os.fsencode(f"{file}|{stamp(file, changed=True)}\n"))
    return digest.hexdigest()


def _named(source: Path) -> Iterator[Path]:
    """Yield the images and masks that a table names; none of a table that can't be read."""
    if not source.is_dir() and source.suffix.lower() in source_files.TABLES:
        with suppress(HgmnetError), source_files.opened(source) as (files, given):
            for picture in detect.plan(files, given, source, "auto").pictures:
                yield from (source.parent / path for path in (picture.source, *picture.masks))
