"""Render the page about one version: verdict and doubts, changes, figures, decisions, limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from hgmnet.config.base import MALIGNANT
from hgmnet.config.params import Params
from hgmnet.data.atomic import atomic, write_text
from hgmnet.errors import HgmnetError
from hgmnet.pages.html import fill
from pipelines.artifacts.evaluation import Subgroup
from pipelines.artifacts.paths import Workspace
from pipelines.registry import test_evaluations
from pipelines.registry.aliases import RegistryState, check, registry_state
from pipelines.registry.evidence import EVIDENCE, PAGE
from pipelines.registry.history import DecisionRecord
from pipelines.registry.loading import resolve
from pipelines.registry.tracking_store import TrackingStore
from pipelines.registry.versions import MONITORED
from pipelines.report import html, text
from pipelines.report.doubts import doubts
from pipelines.report.inputs import EvaluatedImage, ReportInputs
from pipelines.report.model_card import NO
from pipelines.version_page.appendix import appendix
from pipelines.version_page.changes import Changes, changes
from pipelines.version_page.version import (
    VersionEvidence,
    decisions_on,
    predecessor,
    read_version,
)


@dataclass(frozen=True)
class Status:
    """What changes after the registration, as of `when` (UTC).

    `evaluations`: of its test split so far, None: not known. `monitored`: the last monitoring of
    this version, with its day; empty: none. `fault`: of history or aliases; empty: none.
    """

    when: str
    serves: str
    decisions: tuple[DecisionRecord, ...]
    evaluations: int | None
    monitored: str
    fault: str


@dataclass(frozen=True)
class Page:
    """A written page: path in the checkout, doubts in the order shown, id of the version's run."""

    path: Path
    doubts: tuple[str, ...]
    run_id: str


def write_page(
    store: TrackingStore, params: Params, space: Workspace, which: str | None, against: str | None
) -> Page:
    """Write the page of a version to reports/versions/<number>/index.html.

    Its report as registered lies beside it. The page is an artifact of the version's run, too.
    `which`: a version number or alias; None: the champion. `against`: the version to compare with;
    None: the one that it replaced, else the champion.

    Raises:
        ConfigError: there is no such version, or its evidence was not recorded.
        InvalidDataError: the evidence is not what was registered.
    """
    name = params.registry.name
    now = registry_state(store, name)
    number, _ = resolve(now, name, which)
    other, relation = predecessor(now, number)
    if against:
        other, relation = resolve(now, name, against)[0], "as asked"
    with TemporaryDirectory(prefix="hgmnet-") as part:

        def read(version: str, folder: str) -> VersionEvidence:
            (Path(part) / folder).mkdir()
            return read_version(store, name, version, Path(part) / folder)

        after = read(number, "after")
        found, why = None, ""
        if not other:
            first = "It is the first version." if len(now.models) == 1 else ""
            why = first or "No other version served when it began to, and none serves now."
        try:
            found = changes(read(other, "before"), after, params) if other else None
        except HgmnetError as error:
            if against:
                raise
            why = f"Not known: {error}."
        out = space.version_page(number)
        run_id, known = after.tag("decision_run"), status(store, now, after)
        compared = Compared(found, relation if found else "", why)
        report = "report.html" if after.space.html.exists() else ""
        write_text(out, render(after, known, compared, report))
        store.client.log_text(run_id, render(after, known, compared), PAGE)
        if report:
            with atomic(out.with_name(report)) as copy:
                copyfile(after.space.html, copy)
    return Page(out, _doubts(after, known, found), run_id)


def status(store: TrackingStore, now: RegistryState, version: VersionEvidence) -> Status:
    """Return whether the version serves, the decisions about it, and what else is known by now."""
    number = version.number
    serves = "It does not serve."
    if number == now.champion:
        serves = "It serves: it is the champion."
    elif number == now.challenger:
        serves = "It does not serve: it is the challenger, and waits for a decision."
    if now.champion and number != now.champion:
        serves += f" Version {now.champion} serves."
    when = datetime.now(UTC).isoformat()[:16].replace("T", " ") + " UTC"
    return Status(
        when,
        serves,
        decisions_on(now, number),
        test_evaluations.count_in(store, version.tag("data"), version.tag("test_sha")),
        version.version.tags.get(MONITORED, ""),
        check(now) or "",
    )


@dataclass(frozen=True)
class Compared:
    """Changes from another version; None with the reason `why`. `relation`: what that one is."""

    changes: Changes | None
    relation: str
    why: str


def render(after: VersionEvidence, now: Status, compared: Compared, report: str = "") -> str:
    """Render the page; `report`: address of the full report, empty for no link."""
    evidence, found = after.inputs, compared.changes
    return fill(
        html.__file__,
        "version.html.j2",
        **html.shared(evidence) | {"doubts": _doubts(after, now, found)},
        **html.headlines(evidence),
        version=after,
        status=now,
        changes=found,
        appendix=appendix(after),
        no=NO,
        why=compared.why,
        relation=compared.relation,
        report=report,
        shown=[row for row in found.compared.rows if row.metric in _SHOWN]
        if found and found.compared
        else [],
        weaknesses=tuple(weaknesses(evidence)),
        missed=missed(evidence.shown),
        commits=[value for term, value in html.lineage(evidence) if term == "Trained at commit"],
    )


def _doubts(after: VersionEvidence, now: Status, found: Changes | None) -> tuple[str, ...]:
    return (*_registry_doubts(after, now, found), *doubts(after.inputs))


def _registry_doubts(after: VersionEvidence, now: Status, found: Changes | None) -> Iterator[str]:
    """Doubts that need the registry: other evidence, worse than before, from a dirty tree."""
    approved = [one for one in now.decisions if one.champion == after.number]
    known = approved[-1].evidence.get(EVIDENCE, "") if approved else ""
    if known and known != after.version.tags.get(EVIDENCE):
        yield (
            f"Its evidence is not that of decision {approved[-1].number}, which let it serve: it "
            "was judged again since."
        )
    if found and found.compared:
        for row in found.compared.rows:
            if row.better == "first" and row.metric in _SHOWN:
                yield (
                    f"{text.title(row.metric)} is worse than version {found.before}’s: "
                    f"{text.number(row.second.value)} instead of {text.number(row.first.value)}."
                )
    if after.tag("git_dirty") == "true":
        yield "It was registered with uncommitted changes beside its commit."


_SHOWN = (*text.HEADLINES, "coarse_lesion_dice")
_LEAST = 10
"""Subgroups of fewer images say nothing about whom the model fails on."""


def weaknesses(evidence: ReportInputs) -> Iterator[tuple[Subgroup, str]]:
    """Yield the three subgroups of at least ten images with the lowest figure, per main metric."""
    groups = evidence.subgroups.groups if evidence.subgroups else ()
    for metric in ("lesion_dice", "accuracy", "served_sensitivity_malignant"):
        overall = evidence.figures.get(metric)
        if overall is None or overall.value is None:
            continue
        below = [
            (figure.value, group)
            for group in groups
            if (figure := group.figures.get(metric)) and figure.value is not None
            if figure.n >= _LEAST and figure.value < overall.value
        ]
        yield from ((group, metric) for _, group in sorted(below, key=lambda item: item[0])[:3])


def missed(cases: Sequence[EvaluatedImage]) -> tuple[str, ...]:
    """Malignant images that were not called malignant, as `name: decision`."""
    wrong = (c for c in cases if c.label == MALIGNANT and c.decision not in {MALIGNANT, ""})
    return tuple(f"{case.name}: {case.decision}" for case in wrong)
