"""The splits of a decision as MLflow's data sets: name, digest, source."""

import json
from collections import defaultdict
from collections.abc import Iterator

from mlflow.entities import Dataset, DatasetInput, InputTag

from hgmnet.splitting.split_lock import SIDES, SplitRow, test_sha
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.lineage import Lineage
from pipelines.artifacts.paths import Workspace
from pipelines.registry.tracking_store import TrackingStore

_DIGEST = 36
"""Characters of a digest, at most, in MLflow."""


def log_data_sets(
    store: TrackingStore, run_id: str, workspace: Workspace, lineage: Lineage, test: str
) -> None:
    """Log train, val and test as inputs of a run; `test`: the test set's hash."""
    inputs = [
        DatasetInput(one, [InputTag("mlflow.data.context", split)])
        for split, one in _data_sets(workspace, lineage, test)
    ]
    if inputs:
        store.client.log_inputs(run_id, inputs)


def _data_sets(workspace: Workspace, lineage: Lineage, test: str) -> Iterator[tuple[str, Dataset]]:
    """Yield (split, data set); the digest is of the images' pixels and labels."""
    by_split: dict[str, list[SplitRow]] = defaultdict(list)
    for row in read_rows(workspace.split_csv, SplitRow) if workspace.split_csv.exists() else ():
        by_split[row.status].append(row)
    folder = f"data/{workspace.data}/raw"
    source = {"path": folder, "md5": lineage.data_hash, "revision": lineage.git_commit}
    for split in SIDES:
        if rows := by_split[split]:
            digest = test_sha((row.pixel_sha256, row.label) for row in rows)
            counts = {"images": len(rows), "groups": len({row.group for row in rows})}
            yield (
                split,
                Dataset(
                    name=data_set_name(workspace.data, split),
                    digest=data_set_digest(test if split == "test" else digest),
                    source_type="dvc",
                    source=json.dumps(source),
                    profile=json.dumps(counts),
                ),
            )


def data_set_name(data: str, split: str) -> str:
    """Name of a split in MLflow."""
    return f"{data} {split}"


def data_set_digest(sha256: str) -> str:
    """Digest of a split in MLflow: the beginning of its hash."""
    return sha256[:_DIGEST]
