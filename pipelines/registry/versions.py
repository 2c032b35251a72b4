"""Registered versions: one per model, verified in a fresh process before it gets an alias."""

import hashlib
import json
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow.entities import LifecycleStage, Metric, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from hgmnet.errors import ConfigError
from hgmnet.inference.predictor import TorchPredictor
from pipelines.artifacts.io import read_table
from pipelines.artifacts.paths import Workspace
from pipelines.registry.data_sets import data_set_digest, data_set_name
from pipelines.registry.decision_run import Decision
from pipelines.registry.evidence import EVIDENCE, PAGE
from pipelines.registry.history import read_history, rolled_back
from pipelines.registry.known_answers import (
    CODE,
    FILE,
    REQUIREMENTS,
    example_images,
    installed_code,
    known_answers,
    public,
)
from pipelines.registry.tracking_store import TrackingStore, fluent_calls_to
from pipelines.report import text

CHALLENGER, CHAMPION, ANCHOR = "challenger", "champion", "anchor"
"""Aliases: the version that passed its gate and waits, the serving one, the last one approved by a
person."""
MODEL, CODE_TAG, ANSWERS = "hgmnet.model", "hgmnet.code", "hgmnet.known_answers"
"""Tags: hash of the model folder, of packed code and libraries, of the known answers."""
MONITORED = "hgmnet.monitored"
"""Tag: the last monitoring of a version, in a line."""
_VERIFIED = "hgmnet.verified"
RUN, COPIED = "hgmnet.decision_run", "hgmnet.copied_from"
"""Tags: the run of the latest verdict; the registry that a version was copied from."""
_ESSENTIAL = (MODEL, "hgmnet.gate", RUN)
_IMAGES = 20
_FOLLOWING = (
    *("gate", "gate_sha256", "metrics_sha256", "per_image_sha256", "test_sha"),
    *("openings", "opening", "pccp_sha256", "revalidate"),
)
"""Tags updated with each verdict on a version."""


def check_owner(store: TrackingStore, name: str, data: str) -> None:
    """Raise ConfigError if a registered model has a version made from another data set."""
    for version in _versions(store, name):
        other = version.tags.get("hgmnet.data", data)
        if other != data:
            raise ConfigError(
                f"registry.name: {name} has models of the data set {other}, and this one is of "
                f"{data}; choose another name, such as hgmnet-{data}"
            )


def register(store: TrackingStore, name: str, decision: Decision, run_id: str) -> str:
    """Register the model, verify it and set alias `challenger`; return the version number.

    A model that is registered already keeps its version. The champion does not become its own
    challenger, nor does a version that was rolled back.

    Raises:
        RuntimeError: a fresh process got other predictions; the version was deleted.
    """
    version = _find(store, name, decision.model) or _create(store, name, decision, run_id)
    number = str(version.version)
    if version.tags.get(_VERIFIED) != "true":
        _verify(store, name, number, decision)
    _follow(store, name, number, decision, run_id)
    back = rolled_back(read_history(store, name), number)
    if not back and not _has_alias(store, name, CHAMPION, number):
        store.client.set_registered_model_alias(name, CHALLENGER, number)
    return number


def withdraw(store: TrackingStore, name: str, decision: Decision, run_id: str) -> str | None:
    """Remove alias `challenger` from a model that fails now; return its version, None: none."""
    number = number_of(store, name, decision.model)
    if number is None:
        return None
    if _has_alias(store, name, CHALLENGER, number):
        store.client.delete_registered_model_alias(name, CHALLENGER)
    _follow(store, name, number, decision, run_id)
    return number


def _has_alias(store: TrackingStore, name: str, alias: str, number: str) -> bool:
    return str(store.client.get_registered_model(name).aliases.get(alias)) == number


@dataclass(frozen=True)
class Registered:
    """A registered version; figures on the test split, None where not evaluated.

    `missing`: parts that `register` made and that are not there; empty for none.
    """

    number: str
    gate: str
    commit: str
    aliases: tuple[str, ...]
    lesion_dice: float | None
    accuracy: float | None
    missing: str


def list_versions(store: TrackingStore, name: str) -> list[Registered]:
    """Every version, newest first; empty where there is no such model."""
    newest = sorted(_versions(store, name), key=lambda v: -int(v.version))
    aliases = store.client.get_registered_model(name).aliases if newest else {}
    return [_registered(store, version, aliases) for version in newest]


def _registered(
    store: TrackingStore, version: ModelVersion, aliases: Mapping[str, str]
) -> Registered:
    number, tags = str(version.version), version.tags
    run, missing = decision_run(store, version)
    figures = run.data.metrics if run else {}
    return Registered(
        number=number,
        gate=tags.get("hgmnet.gate", "–"),
        commit=tags.get("hgmnet.git_commit", "–")[:7],
        aliases=tuple(sorted(a for a, held in aliases.items() if str(held) == number)),
        lesion_dice=figures.get("test/lesion_dice"),
        accuracy=figures.get("test/accuracy"),
        missing=missing,
    )


def decision_run(store: TrackingStore, version: ModelVersion) -> tuple[Run | None, str]:
    """Return the run of a version's latest verdict, and what of the version is missing.

    Somebody else may have made the version, deleted its run, or let `mlflow gc` collect it. The
    run is None where it is gone; the text is empty where nothing is missing.
    """
    lacking = [tag for tag in _ESSENTIAL if tag not in version.tags]
    missing = f"no tag {', '.join(lacking)}" if lacking else ""
    if RUN in lacking:
        return None, missing
    run_id = version.tags[RUN]
    try:
        run = store.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None, missing or f"no run {run_id}"
    if run.info.lifecycle_stage == LifecycleStage.DELETED and not missing:
        missing = f"run deleted; mlflow runs restore --run-id {run_id}"
    return run, missing


def record_monitoring(store: TrackingStore, name: str, number: str, line: str) -> None:
    """Keep the outcome of a monitoring, with today's date (UTC), as a tag of the version."""
    today = datetime.now(UTC).date().isoformat()
    with suppress(MlflowException):  # such as a store that one may only read
        store.client.set_model_version_tag(name, number, MONITORED, f"{today}: {line}")


def number_of(store: TrackingStore, name: str, model: str) -> str | None:
    """Version number of a model, by its identity; None if it is not registered."""
    found = _find(store, name, model)
    return str(found.version) if found else None


def models_of(store: TrackingStore, name: str) -> dict[str, str]:
    """Model hash by version number; empty for a version that `register` did not make."""
    return {str(v.version): v.tags.get(MODEL, "") for v in _versions(store, name)}


def find_version(store: TrackingStore, name: str, number: str) -> ModelVersion:
    """Return a version with its tags; ConfigError if there is no such version."""
    for version in _versions(store, name):
        if str(version.version) == number:
            return version
    raise ConfigError(f"{name} has no version {number}; `hgmnet versions` lists them")


def _versions(store: TrackingStore, name: str) -> list[ModelVersion]:
    return list(store.client.search_model_versions(f"name = '{name}'"))


def _find(store: TrackingStore, name: str, model: str) -> ModelVersion | None:
    same = [v for v in _versions(store, name) if v.tags.get(MODEL) == model]
    return min(same, key=lambda v: int(v.version), default=None)


def _create(store: TrackingStore, name: str, decision: Decision, run_id: str) -> ModelVersion:
    try:
        store.client.create_registered_model(name, tags={"hgmnet.data": decision.gate.data})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    answers = known_answers(TorchPredictor.load(decision.workspace.model))
    tags = {CODE_TAG: installed_code(), ANSWERS: hashlib.sha256(answers.encode()).hexdigest()}
    model_id = _log_model(store, name, decision, run_id, answers)
    with fluent_calls_to(store.uri):  # MLflow searches the logged model in the default store
        version = store.client.create_model_version(
            name,
            source=f"models:/{model_id}",
            run_id=run_id,
            model_id=model_id,
            tags=decision.tags | tags,
        )
    _link_model(store, model_id, decision, version)
    return version


def _link_model(
    store: TrackingStore, model_id: str, decision: Decision, version: ModelVersion
) -> None:
    """Have MLflow's page of the logged model show its version and its main figures on test."""
    held = [{"name": version.name, "version": str(version.version)}]
    store.client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(held)})
    now, figures = int(time.time() * 1000), decision.evaluation.test or {}
    data, test = decision.gate.data, decision.gate.test_sha
    metrics = [
        Metric(
            f"test/{metric}",
            figure.value,
            now,
            0,
            model_id=model_id,
            dataset_name=data_set_name(data, "test"),
            dataset_digest=data_set_digest(test),
            run_id=version.run_id,
        )
        for metric in text.HEADLINES
        if (figure := figures.get(metric)) and figure.value is not None
    ]
    store.client.log_batch(str(version.run_id), metrics=metrics)


def _log_model(
    store: TrackingStore, name: str, decision: Decision, run_id: str, answers: str
) -> str:
    """Pack model folder, known answers, pyfunc_model.py and package hgmnet; return MLflow's id."""
    from pipelines.registry import pyfunc_model

    with (
        TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        fluent_calls_to(store.uri),
        mlflow.start_run(run_id=run_id),
    ):
        warnings.filterwarnings("ignore", "Operation with range")  # MLflow 3.17 with pandas 3
        example = pd.DataFrame({pyfunc_model.IMAGE: example_images()[:1]})
        file = Path(folder) / FILE
        file.write_text(answers, encoding="utf-8")
        logged = mlflow.pyfunc.log_model(
            name="hgmnet",
            python_model=pyfunc_model.__file__,
            artifacts={pyfunc_model.MODEL: str(decision.workspace.model), "answers": str(file)},
            model_config={pyfunc_model.NAME: name},
            code_paths=[str(CODE)],
            params=_model_params(decision),
            input_example=example,
            step=1,  # MLflow copies the run's figures of this step to the model, of 0 all of them
            signature=pyfunc_model.signature(decision.spec.classes),
            pip_requirements=[f"{name}=={public(name)}" for name in REQUIREMENTS],
        )
    return str(logged.model_id)


def _model_params(decision: Decision) -> dict[str, str]:
    """The settings of a logged model that a person reads first."""
    spec = decision.spec
    return {
        "data": spec.data,
        "classes": ", ".join(spec.classes),
        "encoder": spec.model.encoder,
        "tasks": spec.model.tasks,
        "side": str(spec.prepare.side),
        "seed": str(spec.seed),
        "members": str(spec.members),
    }


def _verify(store: TrackingStore, name: str, number: str, decision: Decision) -> None:
    from pipelines.registry.verification import verify

    images = _evaluated_images(decision.workspace)
    try:
        verify(store.uri, f"models:/{name}/{number}", decision.workspace.model, images)
    except RuntimeError:
        store.client.delete_model_version(name, number)
        raise
    store.client.set_model_version_tag(name, number, _VERIFIED, "true")


def _evaluated_images(workspace: Workspace) -> list[bytes]:
    """Encoded bytes of up to 20 evaluated images, spread evenly over per_image.csv."""
    names = [row["image"] for row in read_table(workspace.per_image)]
    chosen = names[:: max(1, -(-len(names) // _IMAGES))]
    return [(workspace.raw / name).read_bytes() for name in chosen]


def _follow(store: TrackingStore, name: str, number: str, decision: Decision, run_id: str) -> None:
    """Update the tags of a version's latest verdict; the others stay unchanged."""
    for tag in _FOLLOWING:
        value = decision.tags[f"hgmnet.{tag}"]
        store.client.set_model_version_tag(name, number, f"hgmnet.{tag}", value)
    if find_version(store, name, number).tags.get(RUN) == run_id:
        return
    store.client.update_model_version(name, number, _description(store, decision, number, run_id))
    frozen = store.client.get_run(run_id).data.tags.get(EVIDENCE, "")
    store.client.set_model_version_tag(name, number, EVIDENCE, frozen)
    store.client.set_model_version_tag(name, number, RUN, run_id)  # last: all of it is done


def _description(store: TrackingStore, decision: Decision, number: str, run_id: str) -> str:
    """Describe a version in Markdown, for MLflow's page: verdict, figures, links."""
    figures = decision.evaluation.test or {}
    said = [
        f"{text.title(metric)} **{text.number(figure.value)}** ({text.interval(figure)})"
        for metric in text.HEADLINES
        if (figure := figures.get(metric)) and figure.value is not None
    ]
    files = f"#/experiments/{store.experiment_id}/runs/{run_id}/artifacts"
    first = decision.opening
    looks = "" if first is None else f" {text.ordinal(first)} evaluation on this test split."
    return (
        f"**{decision.gate.status.capitalize()}** on the test split of {decision.gate.data}."
        f"{looks}\n\n{'; '.join(said)}.\n\n[The page to sign]({files}/{PAGE}), brought up to date "
        f"by `hgmnet report --version {number}`; [the report]({files}/reports/html/index.html) as "
        "registered.\n\nBy hand, change only descriptions and tags of your own: `hgmnet promote`, "
        "`rollback` and `versions --delete` move aliases and delete versions, and record it."
    )
