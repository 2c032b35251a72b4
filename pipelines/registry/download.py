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

from hgmnet.errors import ConfigError, InvalidDataError
from pipelines.artifacts.lineage import hash_file
from pipelines.registry.tracking_store import (
    STORE_ERRORS,
    TrackingStore,
    first_line,
    fluent_calls_to,
)


def download(store: TrackingStore, version: ModelVersion, into: Path) -> Path:
    """Download a version's model folder with its known answers; ConfigError if they are gone."""
    with fluent_calls_to(store.uri):
        try:
            uri = f"models:/{version.name}/{version.version}/artifacts"
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))
        except (MlflowException, OSError) as error:
            full = os.strerror(errno.ENOSPC)
            if full in str(error):  # MLflow keeps the texts of the errors alone
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


ROWS_SHA256 = "hgmnet.per_image_sha256"
"""A version's tag with the hash of its per_image.csv; older versions have none."""
_PATH = "reports/evaluation/per_image.csv"


def fetch_rows(store: TrackingStore, version: ModelVersion, folder: Path) -> Path:
    """Fetch a version's per_image.csv.

    Raises:
        ConfigError: its run has no evaluation.
        InvalidDataError: the file is not the one that was registered.
    """
    name = version.name
    run_id = version.tags.get("hgmnet.decision_run") or version.run_id
    try:
        path = store.client.download_artifacts(str(run_id), _PATH, str(folder))
    except (MlflowException, OSError) as error:
        raise ConfigError(
            f"version {version.version} of {name}: run {run_id} has no {_PATH} "
            f"({first_line(error)})"
        ) from None
    registered = version.tags.get(ROWS_SHA256)
    if registered and hash_file(Path(path)) != registered:
        raise InvalidDataError(
            f"version {version.version} of {name}: {_PATH} of run {run_id} was changed after it "
            f"was registered (sha256 {registered[:12]}); put the file back, or delete the run and "
            "register again where the model was made: dvc repro register"
        )
    return Path(path)


def deleted_runs(store: TrackingStore) -> list[str]:
    """Ids of deleted runs that no registered version needs; `mlflow gc` frees their disk space."""
    experiments = [one.experiment_id for one in store.client.search_experiments()]
    runs = store.client.search_runs(experiments, run_view_type=ViewType.DELETED_ONLY)
    deleted = {run.info.run_id for run in runs}
    versions = store.client.search_model_versions()
    needed = {run for v in versions for run in (v.run_id, v.tags.get("hgmnet.decision_run"))}
    return sorted(deleted - needed)
