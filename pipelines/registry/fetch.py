"""A registered version's model folder, on this machine."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow

from hgmnet.errors import ConfigError
from hgmnet.models.spec import SPEC, Spec, load_spec
from pipelines.registry.champion import standing
from pipelines.registry.store import STORE_ERRORS, Store, fluent_calls_to

_CARD = "reports/model_card.md"


def fetch_model(store: Store, name: str, number: str | None, cache: Path) -> tuple[Path, str]:
    """Copy a version's model folder here unless it is here already; the folder and the version.

    Args:
        store: the tracking store.
        name: of the registered model.
        number: of the version; None for the champion.
        cache: where copies lie, a folder a version.

    Raises:
        ConfigError: there is no such version, or no champion.
    """
    chosen = number or standing(store, name).champion
    if not chosen:
        msg = f"{name} has no champion yet; `hgmnet promote`, or say --version N or --model FOLDER"
        raise ConfigError(msg)
    folder = cache / name / chosen
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as part:
            _download(store, name, chosen, "", Path(part)).rename(folder)
    return folder, chosen


def version_spec(store: Store, name: str, number: str) -> Spec:
    """What a version's model says of itself: what it was fitted on, above all."""
    with TemporaryDirectory() as part:
        return load_spec(_download(store, name, number, f"/{SPEC}", Path(part)).parent)


def read_card(store: Store, name: str, number: str) -> str:
    """A version's model card in Markdown, as its run holds it; empty where it holds none."""
    with TemporaryDirectory() as part, suppress(*STORE_ERRORS):
        run = store.client.get_model_version(name, number).run_id or ""
        path = store.client.download_artifacts(run, _CARD, part)
        return Path(path).read_text(encoding="utf-8")
    return ""


def _download(store: Store, name: str, number: str, inside: str, into: Path) -> Path:
    """The model folder, or a file in it."""
    uri = f"models:/{name}/{number}"
    with fluent_calls_to(store.uri):
        listed = mlflow.artifacts.list_artifacts(artifact_uri=f"{uri}/artifacts")
        model = next((item.path for item in listed if item.is_dir), None)
        if model is None:
            raise ConfigError(f"{name} version {number} holds no model folder; register it anew")
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{uri}/{model}{inside}", dst_path=str(into)
        )
    return Path(path)
