"""The evaluation that a registered version was judged by, fetched from its decision run."""

from pathlib import Path

from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError
from pipelines.registry.store import Store

_PATH = "reports/evaluation/per_image.csv"


def fetch_rows(store: Store, name: str, word: str, folder: Path) -> tuple[str, Path]:
    """Fetch a version's per_image.csv; its number, and where the file lies.

    Args:
        store: the tracking store.
        name: of the registered model.
        word: a version's number, or an alias.
        folder: where to put the file.

    Raises:
        ConfigError: there is no such version, or its run has no evaluation.
    """
    try:
        version = (
            store.client.get_model_version(name, word)
            if word.isdigit()
            else store.client.get_model_version_by_alias(name, word)
        )
    except MlflowException:
        raise ConfigError(
            f"`{word}` is neither a version or alias of {name} nor a file or folder with a "
            "per_image.csv in it"
        ) from None
    run_id = version.tags.get("hgmnet.decision_run") or version.run_id
    try:
        path = store.client.download_artifacts(str(run_id), _PATH, str(folder))
    except (MlflowException, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        msg = f"version {version.version} of {name}: run {run_id} has no {_PATH} ({reason})"
        raise ConfigError(msg) from None
    return str(version.version), Path(path)
