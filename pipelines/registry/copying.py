"""Copy a version to another MLflow, as from development to production, with its evidence."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError, redact_credentials
from pipelines.artifacts.paths import Workspace
from pipelines.registry import test_evaluations
from pipelines.registry.aliases import registry_state
from pipelines.registry.evidence import PAGE, fetch_evidence
from pipelines.registry.loading import load_version, resolve
from pipelines.registry.tracking_store import (
    TrackingStore,
    create_run,
    fluent_calls_to,
    log_metrics,
    log_params,
    open_store_at,
)
from pipelines.registry.versions import (
    CHALLENGER,
    COPIED,
    RUN,
    check_owner,
    decision_run,
    find_version,
    number_of,
)

_OURS = ("hgmnet.", "mlflow.note.content", "mlflow.user", "mlflow.source.")
"""Beginnings of the tags that a copied run keeps."""


@dataclass(frozen=True)
class Copied:
    """A copied version: its numbers here and there; `new`: false if it was there already."""

    number: str
    there: str
    new: bool


def copy_version(
    root: Path, store: TrackingStore, name: str, which: str | None, uri: str
) -> Copied:
    """Copy a version that passed its gate to the MLflow at `uri`, as challenger.

    Its files, figures, tags and evidence are copied byte for byte, and verified here before and
    there afterwards. The evaluations of its test split are counted there, too. Decisions stay here:
    the other registry has a history of its own.

    Args:
        root: the repository.
        store: the store here, of the model's data set.
        name: the registered model, here and there.
        which: a version number or alias; None for the champion.
        uri: address of the other MLflow.

    Raises:
        ConfigError: there is no such version, its gate is not passed, or the other MLflow can't be
            used, is this one, or has models of another data set under this name.
        InvalidDataError: files of the version or its evidence are not those that were registered.
    """
    number, _ = resolve(registry_state(store, name), name, which)
    version = find_version(store, name, number)
    if version.tags.get("hgmnet.gate") != "passed":
        raise ConfigError(f"{name} version {number} has not passed its gate; copy one that has")
    data = version.tags["hgmnet.data"]
    there = open_store_at(root, uri, data)
    if there.uri == store.uri:
        raise ConfigError(f"{redact_credentials(uri)} is the registry that {name} is in already")
    check_owner(there, name, data)
    cache = Workspace(root, data).versions
    model = load_version(store, name, number, cache)
    if copied := number_of(there, name, version.tags["hgmnet.model"]):
        return Copied(number, copied, new=False)
    with TemporaryDirectory(prefix="hgmnet-") as folder:
        evidence = fetch_evidence(store, version, Path(folder, "evidence"))
        run, missing = decision_run(store, version)
        if run is None:
            raise ConfigError(f"{name} version {number} can't be copied: {missing}")
        test_evaluations.forward(there, test_evaluations.forward(store, ()))
        with suppress(MlflowException, OSError):  # there is none if nobody could write it
            store.client.download_artifacts(run.info.run_id, Path(PAGE).parts[0], str(evidence))
        run_id = _copy_run(there, run, evidence)
        made = _copy_model(store, there, version, run_id, Path(folder, "model"))
    try:
        load_version(there, name, made, cache)
    except Exception:
        there.client.delete_model_version(name, made)
        raise
    there.client.set_registered_model_alias(name, CHALLENGER, made)
    return Copied(model.number, made, new=True)


def _copy_run(there: TrackingStore, run: Run, evidence: Path) -> str:
    tags = {key: value for key, value in run.data.tags.items() if key.startswith(_OURS)}
    made = create_run(there, str(run.info.run_name), tags)
    log_params(there, made, run.data.params)
    log_metrics(there, made, run.data.metrics)
    there.client.log_artifacts(made, str(evidence))
    there.client.set_terminated(made)
    return made


def _copy_model(
    store: TrackingStore, there: TrackingStore, version: ModelVersion, run_id: str, folder: Path
) -> str:
    """Copy the logged model's files, and register them; return the version's number there."""
    folder.mkdir()
    with fluent_calls_to(store.uri):
        uri = f"models:/{version.name}/{version.version}"
        files = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
    try:
        owner = {"hgmnet.data": version.tags["hgmnet.data"]}
        there.client.create_registered_model(version.name, tags=owner)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    logged = there.client.create_logged_model(there.experiment_id, "hgmnet", run_id).model_id
    with fluent_calls_to(there.uri):
        there.client.log_model_artifacts(logged, files)
        there.client.finalize_logged_model(logged, "READY")
        origin = f"{redact_credentials(store.uri)}, version {version.version}"
        tags = {key: value for key, value in version.tags.items() if key.startswith("hgmnet.")}
        made = there.client.create_model_version(
            version.name,
            source=f"models:/{logged}",
            run_id=run_id,
            model_id=logged,
            tags=tags | {RUN: run_id, COPIED: origin},
        )
    there.client.update_model_version(
        version.name,
        made.version,
        f"Copied from {origin}.\n\n{version.description or ''}".replace(
            f"experiments/{store.experiment_id}/runs/{version.tags[RUN]}/",
            f"experiments/{there.experiment_id}/runs/{run_id}/",
        ).replace(f"--version {version.version}`", f"--version {made.version}`"),
    )
    return str(made.version)
