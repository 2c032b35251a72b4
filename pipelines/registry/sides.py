"""What two versions said of the same images: from their records, or asked anew."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from hgmnet import metrics
from hgmnet.data.store import Entry
from hgmnet.data.truth import read_truth
from hgmnet.errors import ConfigError
from pipelines.registry.elsewhere import Answer, predict_elsewhere
from pipelines.registry.evaluated import fetch_rows
from pipelines.registry.store import Store

_BLOCK = 500  # images a process: their masks are in memory at once


def read_version(store: Store, name: str, number: str) -> ModelVersion:
    """A registered version and its tags.

    Raises:
        ConfigError: there is no such version.
    """
    for version in store.client.search_model_versions(f"name = '{name}'"):
        if str(version.version) == number:
            return version
    raise ConfigError(f"{name} has no version {number}; `hgmnet versions` lists them")


def recorded_rows(store: Store, version: ModelVersion) -> pd.DataFrame:
    """The rows of per_image.csv on the test split, as they were logged when it was judged."""
    with TemporaryDirectory() as folder:
        _, path = fetch_rows(store, version.name, str(version.version), Path(folder))
        rows = pd.read_csv(path, keep_default_na=False, dtype={"group": str})
    test = rows[rows["split"] == "test"]
    return test.sort_values("pixel_sha256", kind="stable").reset_index(drop=True)


def asked_rows(
    store: Store, name: str, number: str, raw: Path, entries: Sequence[Entry]
) -> pd.DataFrame:
    """Ask a version, in a fresh process and with its own code, and count with today's.

    Args:
        store: the tracking store.
        name: of the registered model.
        number: of the version.
        raw: the data set's images.
        entries: which of them.
    """
    uri = f"models:/{name}/{number}"
    rows: list[dict[str, object]] = []
    for start in range(0, len(entries), _BLOCK):
        block = entries[start : start + _BLOCK]
        images = [(raw / entry.image).read_bytes() for entry in block]
        answers = predict_elsewhere(store.uri, uri, images)
        rows += _rows(raw, block, answers)
    frame = pd.DataFrame(rows)
    return frame.sort_values("pixel_sha256", kind="stable").reset_index(drop=True)


def _rows(
    raw: Path, entries: Sequence[Entry], answers: Sequence[Answer]
) -> Iterator[dict[str, object]]:
    for entry, answer in zip(entries, answers, strict=True):
        tp, fp, fn, _ = metrics.count_pixels(answer.mask, read_truth(raw, entry))
        yield {
            "image": entry.image,
            "pixel_sha256": entry.pixel_sha256,
            "group": entry.group,
            "label": entry.label,
            "predicted": answer.predicted,
            "decision": answer.decision,
            "served_tp": tp,
            "served_fp": fp,
            "served_fn": fn,
        }
