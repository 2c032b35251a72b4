"""The frozen evidence of one registered version, read back from MLflow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from hgmnet.errors import InvalidDataError
from hgmnet.models.spec import load_operating, load_spec
from pipelines.artifacts.paths import Workspace
from pipelines.registry.aliases import RegistryState
from pipelines.registry.evidence import TAGS, fetch_evidence
from pipelines.registry.history import DecisionRecord
from pipelines.registry.tracking_store import TrackingStore
from pipelines.registry.versions import find_version
from pipelines.report.inputs import ReportInputs, read_evidence


@dataclass(frozen=True)
class VersionEvidence:
    """A version, and the folder of its verified evidence, laid out as in the repository.

    `tags`: of the decision, as they were frozen.
    """

    version: ModelVersion
    folder: Path
    inputs: ReportInputs
    tags: Mapping[str, str]

    @property
    def number(self) -> str:
        """The version number."""
        return str(self.version.version)

    @property
    def space(self) -> Workspace:
        """Paths of the evidence."""
        return Workspace(self.folder, self.tag("data"))

    @property
    def created(self) -> str:
        """Day of the registration, UTC, ISO 8601."""
        seconds = self.version.creation_timestamp / 1000
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()

    def tag(self, name: str) -> str:
        """Value of the tag `hgmnet.<name>`, as frozen if it was; `unknown` where there is none."""
        tags = self.version.tags | dict(self.tags)
        return str(tags.get(f"hgmnet.{name}", "unknown"))


def read_version(store: TrackingStore, name: str, number: str, into: Path) -> VersionEvidence:
    """Download a version's evidence to `into`, an empty folder, and verify it.

    Raises:
        ConfigError: there is no such version, or it has no evidence.
        InvalidDataError: it is not what was registered, or of another model.
    """
    version = find_version(store, name, number)
    folder = fetch_evidence(store, version, into)
    space = Workspace(folder, version.tags["hgmnet.data"])
    model = version.tags["hgmnet.model"]
    inputs = read_evidence(space, load_spec(space.model), load_operating(space.model), model)
    if inputs.gate.model != model:
        raise InvalidDataError(
            f"{name} version {number}: MLflow names model {model[:12]}, but its gate judged "
            f"{inputs.gate.model[:12]}"
        )
    tags = folder / TAGS
    frozen = json.loads(tags.read_text(encoding="utf-8")) if tags.exists() else {}
    return VersionEvidence(version, folder, inputs, frozen)


def decisions_on(now: RegistryState, number: str) -> tuple[DecisionRecord, ...]:
    """Return the decisions about a version, oldest first."""
    entries = (link.entry for link in now.links if link.entry)
    return tuple(one for one in entries if number in {one.version, one.champion_before})


def predecessor(now: RegistryState, number: str) -> tuple[str, str]:
    """Return the version to compare with, and `which it replaced` or `which serves`; or empty."""
    promoted = [one for one in decisions_on(now, number) if one.champion == number]
    before = [one.champion_before for one in promoted if one.champion_before != number]
    found = before[0] if before else "" if promoted else now.champion
    if found == number or found not in now.models:
        return "", ""
    return found, "which it replaced" if promoted else "which serves"
