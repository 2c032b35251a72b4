"""Compare two versions on images unseen by both: recorded predictions, or predicted again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from hgmnet.config.params import Params
from hgmnet.data.image_record import ImageRecord
from hgmnet.data.masks import read_truth
from hgmnet.data.prepared import PreparedImage
from hgmnet.data.progress import batches
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.evaluation.promotion_rule import Comparison, compare
from hgmnet.metrics import segmentation
from hgmnet.models.spec import load_spec
from hgmnet.splitting import contamination
from hgmnet.splitting.split_lock import SplitRow, active_images, test_sha
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import record_evaluation
from pipelines.registry.download import ROWS_SHA256, fetch_rows
from pipelines.registry.loading import RegisteredModel, load_version
from pipelines.registry.tracking_store import TrackingStore
from pipelines.registry.verification import VersionAnswer, predict_version
from pipelines.registry.versions import find_version

_BLOCK = 500  # images per process: their masks are in memory at once
_KEPT = ("image", "pixel_sha256", "group", "label")


def logged_rows(store: TrackingStore, version: ModelVersion) -> pd.DataFrame:
    """Test rows of a version's logged per_image.csv, sorted by pixel_sha256."""
    with TemporaryDirectory() as folder:
        rows = pd.read_csv(
            fetch_rows(store, version, Path(folder)), keep_default_na=False, dtype={"group": str}
        )
    test = rows[rows["split"] == "test"]
    return test.sort_values("pixel_sha256", kind="stable").reset_index(drop=True)


def predict_rows(
    store: TrackingStore, version: ModelVersion, raw: Path, entries: Sequence[PreparedImage]
) -> pd.DataFrame:
    """Predict images of `raw` with a version in a fresh process; one row per image.

    Raises:
        InvalidDataError: its files in MLflow are not those that were registered.
    """
    rows: list[dict[str, object]] = []
    for part in batches(len(entries), _BLOCK, f"version {version.version} predicts"):
        block = entries[part]
        images = [(raw / entry.image).read_bytes() for entry in block]
        answers = predict_version(store.uri, version, images)
        rows += [_row(raw, *pair) for pair in zip(block, answers, strict=True)]
    frame = pd.DataFrame(rows)
    return frame.sort_values("pixel_sha256", kind="stable").reset_index(drop=True)


def _row(raw: Path, entry: PreparedImage, answer: VersionAnswer) -> dict[str, object]:
    tp, fp, fn, _ = segmentation.count_pixels(answer.mask, read_truth(raw, entry))
    return {
        **{name: getattr(entry, name) for name in _KEPT},
        "predicted": answer.predicted,
        "decision": answer.decision,
        "served_tp": tp,
        "served_fp": fp,
        "served_fn": fn,
    }


Tables = tuple[pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True)
class VersionComparison:
    """Comparison of the challenger with one other version.

    `against`: champion or anchor. `dropped`: number of images left out as seen by either model.
    """

    against: str
    version: str
    comparison: Comparison
    images: int
    dropped: int


@dataclass(frozen=True)
class VersionComparator:
    """Compares versions of one model; `data`: a data set, None for the challenger's test split."""

    store: TrackingStore
    params: Params
    workspace: Workspace
    data: str | None
    _predicted: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    def compare(self, challenger: str, against: str, other: str) -> VersionComparison:
        """Compare the challenger with `other` on the images that neither has seen.

        Raises:
            ConfigError: there is no such version, or the images are missing.
            InvalidDataError: the models have seen all images.
        """
        tables = self._on_data(other, challenger) if self.data else self._on_test(other, challenger)
        clean, dropped = self._unseen((other, challenger), tables)
        comparison = compare(*clean, self.params.promotion)
        return VersionComparison(against, other, comparison, len(clean[0]), dropped)

    def load(self, number: str) -> RegisteredModel:
        """Load a version as a server does; raises as `load_version`."""
        return load_version(self.store, self._name, number, self.workspace.versions)

    def _on_test(self, other: str, challenger: str) -> Tables:
        before, after = (find_version(self.store, self._name, one) for one in (other, challenger))
        sha = after.tags["hgmnet.test_sha"]
        return self._test_rows(before, sha), self._test_rows(after, sha)

    def _test_rows(self, version: ModelVersion, sha: str) -> pd.DataFrame:
        """Return a version's logged rows if they are of this test split and have a hash.

        Otherwise the test images are predicted again. Older versions have no hash of their rows.
        """
        if version.tags.get("hgmnet.test_sha") == sha and ROWS_SHA256 in version.tags:
            return logged_rows(self.store, version)
        entries = _test_entries(self.workspace, sha)
        return self._predict(version, self.workspace, entries, "hgmnet promote")

    def _on_data(self, other: str, challenger: str) -> Tables:
        space = Workspace(self.workspace.root, self._data)
        entries, command = all_entries(space), f"hgmnet promote --data {self._data}"
        before, after = (
            self._predict(find_version(self.store, self._name, one), space, entries, command)
            for one in (other, challenger)
        )
        return before, after

    def _predict(
        self, version: ModelVersion, space: Workspace, entries: list[PreparedImage], command: str
    ) -> pd.DataFrame:
        """Predict images once per version; test images among them are counted before."""
        number = str(version.version)
        if number not in self._predicted:
            model = version.tags.get("hgmnet.model", f"{self._name} version {number}")
            count_test_images(space, {entry.image for entry in entries}, model, command)
            rows = predict_rows(self.store, version, space.raw, entries)
            self._predicted[number] = rows
        return self._predicted[number]

    def _unseen(self, numbers: tuple[str, str], tables: Tables) -> tuple[Tables, int]:
        """Remove the images that either model has seen; return both tables and their number."""
        folders = [self.load(number).folder for number in numbers]
        specs = list(map(load_spec, folders))
        unused: dict[str, Any] = {"masks": "", "split": "test", "height": 0, "width": 0}
        rows = tables[0].to_dict("records")
        entries = [PreparedImage(**unused, **{key: row[key] for key in _KEPT}) for row in rows]
        checked = contamination.check(entries, self._data, specs)
        if not checked.clean:
            raise InvalidDataError(
                f"versions {' and '.join(numbers)} have seen all {len(entries)} images of "
                f"{self._data}; compare them on others: --data <name>"
            )
        clean = {entry.image for entry in checked.clean}
        before, after = (t[t["image"].isin(clean)].reset_index(drop=True) for t in tables)
        return (before, after), len(checked.seen)

    @property
    def _name(self) -> str:
        return self.params.registry.name

    @property
    def _data(self) -> str:
        return self.data or self.workspace.data


def _test_entries(workspace: Workspace, sha: str) -> list[PreparedImage]:
    rows = read_rows(workspace.split_csv, SplitRow)
    images = active_images(rows, read_rows(workspace.manifest, ImageRecord))
    entries = [_entry(one.record, one.row.group) for one in images if one.row.status == "test"]
    here = test_sha((entry.pixel_sha256, entry.label) for entry in entries)
    if here != sha:
        raise ConfigError(
            f"the challenger was evaluated on test set {sha[:12]}, this checkout has {here[:12]}; "
            "check out its commit, or compare on other images: --data <name>"
        )
    return entries


def all_entries(space: Workspace) -> list[PreparedImage]:
    """A data set's readable, not excluded images, as test split; ConfigError without a manifest."""
    if not space.manifest.exists():
        raise ConfigError(
            f"{space.manifest} is missing; `hgmnet import {space.data} ...`, then with "
            f"data.name: {space.data} `dvc repro ingest`"
        )
    records = read_rows(space.manifest, ImageRecord)
    return [_entry(one, one.group) for one in records if not one.error and not one.excluded]


def count_test_images(space: Workspace, images: Collection[str], model: str, command: str) -> None:
    """Record a test evaluation if images of the set's own test split are among `images`.

    Call it before they are predicted. A set without a split has no test split. `model`, `command`:
    as for `record_evaluation`.
    """
    rows = read_rows(space.split_csv, SplitRow) if space.split_csv.exists() else []
    locked = {(row.pixel_sha256, row.label) for row in rows if row.status == "test"}
    test = [one for one in all_entries(space) if (one.pixel_sha256, one.label) in locked]
    if any(one.image in images for one in test):
        sha = test_sha((one.pixel_sha256, one.label) for one in test)
        record_evaluation(space, model, sha, command)


def _entry(record: ImageRecord, group: str) -> PreparedImage:
    known = record.model_dump(include={"image", "pixel_sha256", "label", "height", "width"})
    return PreparedImage(masks="|".join(record.masks), group=group, split="test", **known)
