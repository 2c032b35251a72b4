"""Reasons to doubt a verdict, shown beside it: what a person who signs must weigh."""

from collections.abc import Iterator

from hgmnet.config.base import SMALL
from hgmnet.metrics.bootstrap import Figure
from hgmnet.metrics.catalogue import higher_is_better
from pipelines.artifacts.lineage import UNKNOWN
from pipelines.report import text
from pipelines.report.inputs import ReportInputs, counted


def doubts(evidence: ReportInputs) -> tuple[str, ...]:
    """Return the doubts, one sentence each, the heaviest first."""
    return (
        *_baselines(evidence),
        *_few(evidence),
        *_wide(evidence),
        *_repeated(evidence),
        *_origin(evidence),
        *_plan(evidence),
        *([text.drift(evidence.drift)] if evidence.drift.drifted else []),
    )


def _baselines(evidence: ReportInputs) -> Iterator[str]:
    """Main figures that are not significantly better than a predictor without image content."""
    for metric in text.HEADLINES:
        figure, others = evidence.figures.get(metric), text.baselines(evidence, metric)
        known = [(name, other.value) for name, other in others if other.value is not None]
        if figure is None or figure.value is None or not known:
            continue
        name, best = max(known, key=lambda item: item[1])
        least = figure.value if figure.low is None else figure.low
        if least <= best:
            much = "is not better than" if figure.value <= best else "is not clearly better than"
            yield f"{_of(metric, figure)} {much} the baseline “{name}”, {text.number(best)}."


def _few(evidence: ReportInputs) -> Iterator[str]:
    """Main figures of fewer than 30 images or groups, in one sentence."""
    small = [
        f"{text.title(metric)} ({counted(figure.n, 'image')}, {counted(figure.groups, 'group')})"
        for metric in text.HEADLINES
        if (figure := evidence.figures.get(metric)) and min(figure.n, figure.groups) < SMALL
    ]
    if small:
        yield f"Fewer than {SMALL} images or groups: {'; '.join(small)}."


def _wide(evidence: ReportInputs) -> Iterator[str]:
    """Checks that passed by the figure itself, while its interval reaches beyond the bound."""
    for check in evidence.gate.checks:
        figure = evidence.figures.get(check.metric)
        bound = check.bound
        if figure is None or bound is None or check.where or not check.passed:
            continue
        if check.on != "point" or check.above:
            continue
        higher = higher_is_better(check.metric)
        end = figure.low if higher else figure.high
        if end is not None and (end < bound if higher else end > bound):
            side = "below" if higher else "above"
            yield f"{_of(check.metric, figure)} may be {side} its bound, {text.limit(check)}."


def _of(metric: str, figure: Figure) -> str:
    return f"{text.title(metric)} {text.number(figure.value)} ({text.interval(figure)})"


def _repeated(evidence: ReportInputs) -> Iterator[str]:
    number = evidence.opening.number if evidence.opening else None
    if number and number > 1:
        yield (
            f"The test split was used before: this is the {text.ordinal(number)} evaluation on it, "
            "and repeated use makes figures optimistic."
        )


def _origin(evidence: ReportInputs) -> Iterator[str]:
    """Doubts about code and data."""
    run, facts = evidence.provenance.run, evidence.provenance
    if run is None or run.git_commit == UNKNOWN:
        yield "The commit of the training code is not known."
    elif run.git_dirty:
        yield "It was trained with uncommitted changes: the commit alone does not restore its code."
    if facts.shared:
        yield f"{counted(facts.shared, 'patient')} with images in two splits."
    elif not facts.patients and evidence.evaluation.data != "phantom":
        yield "No patient is known: images of one patient may be in two splits."


def _plan(evidence: ReportInputs) -> Iterator[str]:
    unjudged = [clause.clause for clause in evidence.gate.plan if clause.status == "not judged"]
    if unjudged:
        many = counted(len(unjudged), "clause")
        yield f"{many} of the change plan not judged: {', '.join(unjudged)}."
    for clause in evidence.gate.due:
        yield f"The change plan asks for a new validation: {clause.reason}."
