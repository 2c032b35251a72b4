"""Promotion: compare the challenger with champion and anchor, and apply the promotion rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from hgmnet.evaluation.promotion_rule import ORDER, Verdict
from hgmnet.models.spec import identity
from pipelines.artifacts.lineage import hash_file
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import user
from pipelines.promotion.comparison import VersionComparator, VersionComparison
from pipelines.registry import aliases
from pipelines.registry.aliases import PromotionDecision, RegistryState, registry_state
from pipelines.registry.evidence import EVIDENCE
from pipelines.registry.history import Link, chain_fault
from pipelines.registry.loading import resolve
from pipelines.registry.signatures import statement
from pipelines.registry.tracking_store import connect_with_retries
from pipelines.registry.versions import CHALLENGER, find_version


@dataclass(frozen=True)
class Request:
    """A requested promotion; `version`: number or alias, None for the challenger.

    `approved`: by a person, for `reason`; `by`: their name, empty for the user of this process;
    `sign`: signs a text in their name, None for no signature.
    """

    version: str | None = None
    approved: bool = False
    reason: str = ""
    by: str = ""
    sign: Callable[[str], str] | None = None


@dataclass(frozen=True)
class PromotionOutcome:
    """The comparisons and the decision; `now`: the registry's state before them."""

    now: RegistryState
    comparisons: tuple[VersionComparison, ...]
    resolve: PromotionDecision

    @property
    def promoted(self) -> bool:
        """Whether another version serves from now on."""
        return self.resolve.action == "promoted"

    @property
    def open(self) -> bool:
        """Whether the version is not promoted only because a person must decide."""
        return not self.promoted and self.resolve.verdict not in {"", "worse"}

    @property
    def refused(self) -> str:
        """Reason why the version does not serve; empty where it does."""
        if self.promoted or not self.resolve.verdict:
            return ""
        return f"version {self.resolve.version} does not serve: {self.resolve.reason}"

    def declined(self, by: str, reason: str) -> "PromotionOutcome":
        """Return the outcome with a person's refusal as its reason."""
        kept = f"{by} did not approve: {reason}"
        return replace(self, resolve=replace(self.resolve, reason=kept))


def open_comparer(root: Path, data: str | None) -> VersionComparator:
    """Make the comparator of a repository's registered model; `data`: None for the test split.

    Raises:
        ConfigError: params.yaml is wrong, or the tracking store can't be reached.
    """
    params = load_params(root / "params.yaml")
    store = connect_with_retries(root, params.data.name)
    return VersionComparator(store, params, Workspace(root, params.data.name), data)


def promote(comparer: VersionComparator, request: Request) -> tuple[PromotionOutcome, Link]:
    """Call `propose` and `apply_decision`; repeat if the champion changed meanwhile."""
    found: list[PromotionOutcome] = []

    def attempt() -> Link:
        now = registry_state(comparer.store, comparer.params.registry.name)
        found.append(_signed(comparer, propose(comparer, now, request), request))
        return apply_decision(comparer, found[-1])

    link = aliases.retry_on_conflict(attempt)
    return found[-1], link


def _signed(
    comparer: VersionComparator, outcome: PromotionOutcome, request: Request
) -> PromotionOutcome:
    """Add the person's signature to an approval that takes effect."""
    made, now = outcome.resolve, outcome.now
    if request.sign is None or not (outcome.promoted and made.approved_by):
        return outcome
    name = comparer.params.registry.name
    evidence = made.evidence.get(EVIDENCE, "")
    model = now.models[made.version]
    signature = request.sign(statement(name, made.version, model, evidence, now.head))
    return replace(outcome, resolve=replace(made, signature=signature, signed_after=now.head))


def uncompared_challenger(comparer: VersionComparator) -> str:
    """Version of the model on disk, if it is a challenger not yet compared with this champion.

    Empty otherwise: a nightly run without changes does not repeat the comparison.
    """
    name = comparer.params.registry.name
    now = registry_state(comparer.store, name)
    if now.models.get(now.challenger) != identity(comparer.workspace.model):
        return ""
    entries = [link.entry for link in now.links if link.entry]
    asked = {(entry.version, entry.champion_before) for entry in entries}
    return "" if (now.challenger, now.champion) in asked else now.challenger


def apply_decision(comparer: VersionComparator, outcome: PromotionOutcome) -> Link:
    """Record a decision and move the aliases.

    Raises:
        ChangedError: the champion changed meanwhile; nothing was written.
        ConfigError: the history is broken, or another process holds the lock.
    """
    name = comparer.params.registry.name
    return aliases.decide(comparer.store, name, outcome.now.champion, outcome.resolve)


def approve(
    comparer: VersionComparator, outcome: PromotionOutcome, request: Request
) -> PromotionOutcome:
    """Decide again from the same comparisons, with a person's approval."""
    by_person, version = comparer.params.registry.approval, outcome.resolve.version
    made = decision(outcome.comparisons, version, outcome.now, request, by_person=by_person)
    return replace(outcome, resolve=_with_evidence(comparer, made))


def propose(comparer: VersionComparator, now: RegistryState, request: Request) -> PromotionOutcome:
    """Compare, and decide by the rule; no alias is moved.

    Raises:
        ConfigError: there is no such version, it did not pass its gate or was compared with another
            change plan, or its test images are missing; an alias was moved by hand.
        InvalidDataError: the models have seen all the images; the history is broken; a version is
            not the model that was registered.
    """
    registry = comparer.params.registry
    if fault := chain_fault(now.links) or aliases.moved_by_hand(now):
        raise ConfigError(
            f"nothing was changed, for the history of {registry.name} is broken: {fault}"
        )
    if not request.version and not now.challenger:
        raise ConfigError(
            f"{registry.name} has no challenger; `dvc repro` makes one, or add --version N"
        )
    number, _ = resolve(now, registry.name, request.version or CHALLENGER)
    _refuse_unfit(comparer, number)
    comparer.load(number)  # what can't be loaded can't serve
    if number == now.champion:
        kept = PromotionDecision("kept", number, number, now.anchor, "it serves already")
        return PromotionOutcome(now, (), kept)
    others = {now.anchor: "anchor", now.champion: "champion"}  # one that is both is the champion
    comparisons = tuple(
        comparer.compare(number, against, other)
        for other, against in reversed(others.items())
        if other not in {"", number}
    )
    made = decision(comparisons, number, now, request, by_person=registry.approval)
    return PromotionOutcome(now, comparisons, _with_evidence(comparer, made))


def _with_evidence(comparer: VersionComparator, made: PromotionDecision) -> PromotionDecision:
    """Add the hash of the version's evidence, so that later evidence can't pass for it."""
    version = find_version(comparer.store, comparer.params.registry.name, made.version)
    if known := version.tags.get(EVIDENCE):
        return replace(made, evidence={**made.evidence, EVIDENCE: known})
    return made


def rollback(
    comparer: VersionComparator, to: str | None, reason: str, *, other_plan: bool = False
) -> tuple[RegistryState, Link]:
    """Return to a former champion (None: the previous one); return the state before, and the link.

    `other_plan`: accept a version that was judged with another change plan than pccp.yaml.

    Raises:
        ConfigError: nothing to return to, the version never served, does not exist any more or did
            not pass its gate.
        InvalidDataError: the version is not the model that was registered.
    """
    name = comparer.params.registry.name
    now = registry_state(comparer.store, name)
    number = to or aliases.served_before(now)
    if to and not to.isdigit():
        number = resolve(now, name, to)[0]
    if not number:
        raise ConfigError(f"{name}: no version served before {now.champion or 'now'}")
    if number not in (ever := aliases.served(now.links)):
        known = ", ".join(ever) or "none"
        raise ConfigError(f"{name} version {number} never served; these did: {known}")
    _refuse_unfit(comparer, number, other_plan=other_plan)
    comparer.load(number)
    back = PromotionDecision("rolled back", number, number, number, reason, "", user())
    return now, aliases.decide(comparer.store, name, now.champion, back, repair=True)


def adopt(comparer: VersionComparator, reason: str) -> Link:
    """Record that a person moved the alias `champion` in MLflow, if gate and plan allow it.

    Raises:
        ConfigError: the alias is as the last decision left it, or its version did not pass its gate
            or was judged with another change plan.
        InvalidDataError: the version is not the model that was registered.
    """
    name = comparer.params.registry.name
    now = registry_state(comparer.store, name)
    last = now.decided[0]
    if not now.champion or now.champion == (last.champion if last else ""):
        raise ConfigError(f"{name}: nothing to adopt; no person moved the alias champion")
    _refuse_unfit(comparer, now.champion)
    comparer.load(now.champion)
    anchor = last.anchor if last and now.has(last.anchor) else now.champion
    adopted = PromotionDecision("adopted", now.champion, now.champion, anchor, reason, "", user())
    return aliases.decide(comparer.store, name, now.champion, adopted, repair=True)


def _refuse_unfit(comparer: VersionComparator, number: str, *, other_plan: bool = False) -> None:
    name = comparer.params.registry.name
    tags = find_version(comparer.store, name, number).tags
    gate = tags.get("hgmnet.gate")
    if gate != "passed":
        raise ConfigError(
            f"{name} version {number}: gate status {gate}; only a version that passed can serve"
        )
    if not other_plan and tags.get("hgmnet.pccp_sha256") != hash_file(
        comparer.workspace.change_plan
    ):
        raise ConfigError(
            f"{name} version {number} was compared with another change plan than pccp.yaml; at "
            f"commit {tags.get('hgmnet.git_commit', 'none')[:7]} with this pccp.yaml `dvc repro` "
            "evaluates it again"
        )


def decision(
    comparisons: Sequence[VersionComparison],
    number: str,
    now: RegistryState,
    request: Request,
    *,
    by_person: bool,
) -> PromotionDecision:
    """Apply the rule to the verdicts.

    A challenger better than the champion and not worse than the anchor is promoted automatically,
    unless a person must approve (`by_person`). One worse than either is never promoted. Otherwise a
    person decides; a version that they approve becomes the anchor.
    """
    verdicts = [compared.comparison.verdict for compared in comparisons]
    least = min(verdicts, key=ORDER.index, default="better")
    said = " and ".join(
        f"{_WORDS[c.comparison.verdict]} {c.against} {c.version}" for c in comparisons
    )
    gone = aliases.deleted(now) or ""
    said = said or f"it passed its gate, and {gone or 'none served before'}"
    clear = (not comparisons or verdicts[0] == "better") and least in {"better", "not worse"}
    if least == "worse":
        why = ""
    elif clear and not by_person:
        why = request.reason or said
    else:
        why = request.reason if request.approved else ""
    evidence = {"before": gone} if gone else {}
    evidence |= {  # the figures behind the decision
        f"{compared.against} {compared.version}: {name}": (
            f"{figure.difference:+.4f} [{figure.lower:+.4f}, {figure.upper:+.4f}] n={figure.n}"
        )
        for compared in comparisons
        for name, figure in compared.comparison.figures.items()
    }
    if not why:
        kept = said if least == "worse" else f"{said}; a person must decide: --approve --reason ..."
        return PromotionDecision(
            "kept", number, now.champion, now.anchor, kept, least, evidence=evidence
        )
    anchor = number if request.approved else now.anchor
    who = (request.by or user()) if request.approved else ""
    return PromotionDecision("promoted", number, number, anchor, why, least, who, evidence)


_WORDS: dict[Verdict, str] = {
    "better": "better than",
    "not worse": "not worse than",
    "worse": "worse than",
    "undecided": "undecided against",
}
