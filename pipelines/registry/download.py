"""Download parts of a registered version: model folder, model card, evaluated rows."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities import ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError
from pipelines.registry.tracking_store import (
    STORE_ERRORS,
    TrackingStore,
    first_line,
    fluent_calls_to,
)


def download(store: TrackingStore, version: ModelVersion, into: Path) -> Path:
    """Download a version's model folder, with its known answers inside; return its path.

    Raises:
        ConfigError: MLflow has no such files.
    """
    with fluent_calls_to(store.uri):
        try:
            uri = f"models:/{version.name}/{version.version}/artifacts"
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))
        except (MlflowException, OSError) as error:
            full = os.strerror(errno.ENOSPC)
            if full in str(error):  # MLflow keeps the texts of its files' errors alone
                raise OSError(errno.ENOSPC, full, str(into)) from None
            raise ConfigError(
                f"{version.name} version {version.version}: its files can't be fetched "
                f"({first_line(error)})"
            ) from None
    folder = next((item for item in found.iterdir() if item.is_dir()), None)
    if folder is None:
        raise ConfigError(f"{version.name} version {version.version} has no model folder")
    for file in (item for item in found.iterdir() if item.is_file()):
        file.rename(folder / file.name)
    return folder


def read_card(store: TrackingStore, name: str, number: str) -> str:
    """Return the model card (Markdown) of a version's run; empty where there is none."""
    with TemporaryDirectory() as part, suppress(*STORE_ERRORS):
        run = store.client.get_model_version(name, number).run_id or ""
        path = store.client.download_artifacts(run, "reports/model_card.md", part)
        return Path(path).read_text(encoding="utf-8")
    return ""


_PATH = "reports/evaluation/per_image.csv"


def fetch_rows(store: TrackingStore, name: str, word: str, folder: Path) -> tuple[str, Path]:
    """Fetch a version's per_image.csv, by number or alias; return version number and file.

    Raises:
        ConfigError: there is no such version, or its run has no evaluation.
    """
    client = store.client
    find = client.get_model_version if word.isdigit() else client.get_model_version_by_alias
    try:
        version = find(name, word)
    except MlflowException:
        raise ConfigError(
            f"`{word}` is neither a version or alias of {name} nor a file or folder with a "
            "per_image.csv in it"
        ) from None
    run_id = version.tags.get("hgmnet.decision_run") or version.run_id
    try:
        path = client.download_artifacts(str(run_id), _PATH, str(folder))
    except (MlflowException, OSError) as error:
        raise ConfigError(
            f"version {version.version} of {name}: run {run_id} has no {_PATH} "
            f"({first_line(error)})"
        ) from None
    return str(version.version), Path(path)


def deleted_runs(store: TrackingStore) -> list[str]:
    """Ids of deleted runs that no registered version needs; `mlflow gc` frees their disk space."""
    experiments = [one.experiment_id for one in store.client.search_experiments()]
    runs = store.client.search_runs(experiments, run_view_type=ViewType.DELETED_ONLY)
    deleted = {run.info.run_id for run in runs}
    versions = store.client.search_model_versions()
    needed = {run for v in versions for run in (v.run_id, v.tags.get("hgmnet.decision_run"))}
    return sorted(deleted - needed)
