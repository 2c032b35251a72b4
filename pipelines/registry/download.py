"""Download parts of a registered version: model folder, model card, evaluated rows."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError
from hgmnet.models.spec import SPEC, Spec, load_spec
from pipelines.registry.aliases import registry_state
from pipelines.registry.tracking_store import (
    STORE_ERRORS,
    TrackingStore,
    first_line,
    fluent_calls_to,
)


def fetch_model(
    store: TrackingStore, name: str, number: str | None, cache: Path
) -> tuple[Path, str]:
    """Copy a version's model folder to the cache if missing; return folder and version number.

    `number`: None for the champion. `cache`: folder of the copies, `<name>/<version>` each.

    Raises:
        ConfigError: there is no such version, or no champion.
    """
    chosen = number or registry_state(store, name).champion
    if not chosen:
        raise ConfigError(
            f"{name} has no champion yet; `hgmnet promote`, or add --version N or --model FOLDER"
        )
    folder = cache / name / chosen
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as part:
            _download(store, name, chosen, "", Path(part)).rename(folder)
    return folder, chosen


def version_spec(store: TrackingStore, name: str, number: str) -> Spec:
    """Read a version's model.json, with the hashes of the images it was fitted on."""
    with TemporaryDirectory() as part:
        return load_spec(_download(store, name, number, f"/{SPEC}", Path(part)).parent)


def read_card(store: TrackingStore, name: str, number: str) -> str:
    """Return the model card (Markdown) of a version's run; empty where there is none."""
    with TemporaryDirectory() as part, suppress(*STORE_ERRORS):
        run = store.client.get_model_version(name, number).run_id or ""
        path = store.client.download_artifacts(run, "reports/model_card.md", part)
        return Path(path).read_text(encoding="utf-8")
    return ""


def _download(store: TrackingStore, name: str, number: str, inside: str, into: Path) -> Path:
    """Download the model folder, or the file `inside` it; return its path."""
    uri = f"models:/{name}/{number}"
    with fluent_calls_to(store.uri):
        try:
            listed = mlflow.artifacts.list_artifacts(artifact_uri=f"{uri}/artifacts")
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise
            raise ConfigError(f"{name} has no version {number}; see `hgmnet versions`") from None
        model = next((item.path for item in listed if item.is_dir), None)
        if model is None:
            raise ConfigError(f"{name} version {number} has no model folder; register it again")
        try:
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{uri}/{model}{inside}", dst_path=str(into)
            )
        except MlflowException as error:
            full = os.strerror(errno.ENOSPC)
            if full in str(error):  # MLflow keeps the texts of the errors alone
                raise OSError(errno.ENOSPC, full, str(into)) from None
            raise
    return Path(path)


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
