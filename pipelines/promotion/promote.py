"""Promotion: compare the challenger with champion and anchor, and let the rule say who serves."""

from dataclasses import dataclass, replace
from pathlib import Path

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from hgmnet.models.spec import identity
from pipelines.artifacts.lineage import hash_file
from pipelines.artifacts.paths import Workspace
from pipelines.promotion.comparison import VersionComparator, VersionComparison, read_version
from pipelines.promotion.rule import Request, decision
from pipelines.registry.aliases import (
    PromotionDecision,
    RegistryState,
    decide,
    registry_state,
    retry_on_conflict,
)
from pipelines.registry.history import Link
from pipelines.registry.tracking_store import connect_with_retries


@dataclass(frozen=True)
class PromotionOutcome:
    """What the comparisons came to; `now`: what stood when they were made."""

    now: RegistryState
    comparisons: tuple[VersionComparison, ...]
    resolve: PromotionDecision

    @property
    def promoted(self) -> bool:
        """Whether another version serves from now on."""
        return self.resolve.action == "promoted"

    @property
    def open(self) -> bool:
        """Whether it is kept only since a person must decide."""
        return not self.promoted and self.resolve.verdict not in {"", "worse"}

    @property
    def refused(self) -> str:
        """Why the version does not serve; empty where it does."""
        if self.promoted or not self.resolve.verdict:
            return ""
        return f"version {self.resolve.version} does not serve: {self.resolve.reason}"

    def declined(self, by: str, reason: str) -> "PromotionOutcome":
        """The same, where a person has looked and said no."""
        kept = f"{by} did not approve: {reason}"
        return replace(self, resolve=replace(self.resolve, reason=kept))


def open_comparer(root: Path, data: str | None) -> VersionComparator:
    """What compares the versions of a repository's registered model.

    Args:
        root: the repository.
        data: a data set to compare on; None for the test split.

    Raises:
        ConfigError: params.yaml is wrong, or the tracking store can't be reached.
    """
    params = load_params(root / "params.yaml")
    store = connect_with_retries(root, params.data.name)
    return VersionComparator(store, params, Workspace(root, params.data.name), data)


def promote(comparer: VersionComparator, request: Request) -> tuple[PromotionOutcome, Link]:
    """Compare, decide by the rule, write it down and move the aliases.

    Where another version becomes champion meanwhile it is compared with that one.

    Raises:
        ConfigError, InvalidDataError: as `propose` and `apply_decision`.
    """
    found: list[PromotionOutcome] = []

    def attempt() -> Link:
        now = registry_state(comparer.store, comparer.params.registry.name)
        found.append(propose(comparer, now, request))
        return apply_decision(comparer, found[-1])

    link = retry_on_conflict(attempt)
    return found[-1], link


def uncompared_challenger(comparer: VersionComparator) -> str:
    """The version of the model on disk, if it is a challenger not yet compared with this champion.

    So a run that found nothing new does not ask the same question every night. Empty: there is
    none.
    """
    now = registry_state(comparer.store, comparer.params.registry.name)
    if not now.challenger:
        return ""
    tags = read_version(comparer.store, comparer.params.registry.name, now.challenger).tags
    if tags.get("hgmnet.model") != identity(comparer.workspace.model):
        return ""
    entries = [link.entry for link in now.links if link.entry]
    asked = {(entry.version, entry.champion_before) for entry in entries}
    return "" if (now.challenger, now.champion) in asked else now.challenger


def apply_decision(comparer: VersionComparator, outcome: PromotionOutcome) -> Link:
    """Write a decision down and move the aliases.

    Raises:
        ChangedError: another version became champion meanwhile; nothing was written.
        ConfigError: the history is broken, or somebody else holds the lock.
    """
    name = comparer.params.registry.name
    return decide(comparer.store, name, outcome.now.champion, outcome.resolve)


def approve(
    comparer: VersionComparator, outcome: PromotionOutcome, request: Request
) -> PromotionOutcome:
    """The outcome of the same comparisons, where a person answers for it."""
    by_person = comparer.params.registry.approval
    made = decision(
        outcome.comparisons, outcome.resolve.version, outcome.now, request, by_person=by_person
    )
    return replace(outcome, resolve=made)


def propose(comparer: VersionComparator, now: RegistryState, request: Request) -> PromotionOutcome:
    """Compare, and decide by the rule; nothing is moved.

    Raises:
        ConfigError: there is no such version, it did not pass its gate or was held to another
            change plan, or the images that it was judged on are not here.
        InvalidDataError: the models have seen all the images.
    """
    registry = comparer.params.registry
    number = request.version or now.challenger
    if not number:
        msg = f"{registry.name} has no challenger; `dvc repro` makes one, or say --version N"
        raise ConfigError(msg)
    _refuse_unfit(comparer, number)
    if number == now.champion:
        return PromotionOutcome(
            now, (), PromotionDecision("kept", number, number, now.anchor, "it serves already")
        )
    others = {now.anchor: "anchor", now.champion: "champion"}  # one that is both is the champion
    comparisons = tuple(
        comparer.compare(number, against, other)
        for other, against in reversed(others.items())
        if other not in {"", number}
    )
    return PromotionOutcome(
        now, comparisons, decision(comparisons, number, now, request, by_person=registry.approval)
    )


def _refuse_unfit(comparer: VersionComparator, number: str) -> None:
    name = comparer.params.registry.name
    tags = read_version(comparer.store, name, number).tags
    gate = tags.get("hgmnet.gate")
    if gate != "passed":
        msg = f"{name} version {number}: its gate says {gate}; only one that passed serves"
        raise ConfigError(msg)
    if tags.get("hgmnet.pccp_sha256") != hash_file(comparer.workspace.change_plan):
        msg = (
            f"{name} version {number} was held to another change plan than pccp.yaml says now; at "
            f"commit {tags.get('hgmnet.git_commit', 'none')[:7]} with this pccp.yaml `dvc repro` "
            "judges it again"
        )
        raise ConfigError(msg)
