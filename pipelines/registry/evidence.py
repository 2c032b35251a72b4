"""Evidence of a verdict: frozen in its MLflow run with a hash of each file, verified when read."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.models.spec import OPERATING, SPEC
from pipelines.artifacts.lineage import hash_file
from pipelines.artifacts.paths import Workspace
from pipelines.registry.software import bill_of_materials
from pipelines.registry.tracking_store import TrackingStore, first_line

EVIDENCE = "hgmnet.evidence_sha256"
"""Tag of run and version: hash of the list of files; older versions have none."""
LIST, SOFTWARE, TAGS = "evidence.json", "sbom.cdx.json", "tags.json"
PAGE = "version/index.html"
"""Artifact with the page about a version; its status changes, so it is no evidence."""


def freeze(
    store: TrackingStore, workspace: Workspace, run_id: str, tags: Mapping[str, str]
) -> None:
    """Log the evidence files to a run, at their paths in the repository, with their hashes.

    `tags`: of the decision; in MLflow they can be changed, in the evidence not without notice.
    """
    hashes = {}
    for file in _files(workspace):
        folder = file.parent.relative_to(workspace.root).as_posix()
        store.client.log_artifact(run_id, str(file), None if folder == "." else folder)
        hashes[file.relative_to(workspace.root).as_posix()] = hash_file(file)
    facts = json.dumps(dict(tags), indent=2, sort_keys=True)
    for name, content in ((SOFTWARE, bill_of_materials()), (TAGS, facts)):
        store.client.log_text(run_id, content, name)
        hashes[name] = hashlib.sha256(content.encode()).hexdigest()
    text = json.dumps(hashes, indent=2, sort_keys=True)
    store.client.log_text(run_id, text, LIST)
    store.client.set_tag(run_id, EVIDENCE, hashlib.sha256(text.encode()).hexdigest())


def _files(workspace: Workspace) -> Iterator[Path]:
    """Yield each evidence file that exists; DVC's own are absent where a stage ran without DVC."""
    space, root, data = workspace, workspace.root, workspace.folder
    files = (
        *(space.html, space.model_card, space.gate, space.change_plan, space.risks, space.opening),
        *(
            space.validation,
            space.data_card,
            space.manifest,
            space.pairs,
            space.split_csv,
            space.split_json,
        ),
        *(space.curves, space.train_run, space.mask_curve, space.metrics, space.per_image),
        *(space.evaluation_drift, space.subgroups, space.certainty, space.consistency),
        *(space.model / SPEC, space.model / OPERATING),
        *(root / "params.yaml", root / "dvc.lock", data / "raw.dvc", data / "dvc.lock"),
    )
    yield from filter(Path.exists, files)


def fetch_evidence(store: TrackingStore, version: ModelVersion, into: Path) -> Path:
    """Download a version's evidence, verify every file, and return its folder.

    What lies beside it in the run, and is not in its list, is removed from the folder.

    Raises:
        ConfigError: an earlier release registered it without evidence, or its run is gone.
        InvalidDataError: a file is not the one that was registered.
    """
    wanted, name = version.tags.get(EVIDENCE), f"version {version.version} of {version.name}"
    if not wanted:
        raise ConfigError(
            f"{name} was registered by an earlier release, without the evidence for its page; "
            f"`hgmnet lineage {version.version}` shows how to restore and register it again"
        )
    run_id = version.tags.get("hgmnet.decision_run") or version.run_id
    try:
        folder = Path(store.client.download_artifacts(str(run_id), "", str(into)))
        listed = (folder / LIST).read_bytes()
    except (MlflowException, OSError) as error:
        raise ConfigError(
            f"{name}: the evidence in run {run_id} can't be read ({first_line(error)})"
        ) from None
    if hashlib.sha256(listed).hexdigest() != wanted:
        raise _changed(name, LIST, str(run_id))
    hashes: dict[str, str] = json.loads(listed)
    for other in [file for file in folder.rglob("*") if file.is_file()]:
        if other.relative_to(folder).as_posix() not in {LIST, *hashes}:
            other.unlink()
    for path, sha256 in hashes.items():
        if not (folder / path).is_file() or hash_file(folder / path) != sha256:
            raise _changed(name, path, str(run_id))
    return folder


def _changed(name: str, path: str, run_id: str) -> InvalidDataError:
    return InvalidDataError(
        f"{name}: {path} of run {run_id} is not the file that was registered; put it back from a "
        "backup"
    )
