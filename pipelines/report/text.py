"""Texts of figures, checks and verdict, shared by page, model card and terminal."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hgmnet.config.evaluation import Where
from hgmnet.evaluation.conformal import MISCOVERAGE, Classified, conformal_sets
from hgmnet.evaluation.drift import DriftReport
from hgmnet.metrics.bootstrap import Figure
from hgmnet.metrics.catalogue import METRICS, higher_is_better, metric
from hgmnet.pages.html import lines
from pipelines.artifacts.gate import MISSING, CheckResult, ClauseResult
from pipelines.report.inputs import EvaluatedImage, ReportInputs, patients

HEADLINES = (
    "lesion_dice",
    "accuracy",
    "balanced_accuracy",
    "auroc_malignant",
    "served_sensitivity_malignant",
    "served_normal_fp_rate",
)
"""Metrics of the first table; absent ones are left out."""


PAPER = {"lesion_dice": 0.7431, "accuracy": 0.8500}
"""Published on BUSI; shown but not compared, because the protocol is not public."""

EVIDENCE_TITLES = {
    "evidence_inside": "Class evidence inside the lesion",
    "evidence_chance": "Class evidence inside the lesion by chance",
    "evidence_above_chance": "Class evidence inside the lesion, above chance",
}
_ORDER = (*(one.name for one in METRICS), *EVIDENCE_TITLES)

BASELINES = {
    "majority": "majority class",
    "area": "true lesion area alone",
    "size": "image size alone",
}
"""Baselines by key; a baseline's figure is named `<key>_<metric>`."""

LIMITS = lines(__file__, "limits.txt")


def limits(evidence: ReportInputs) -> tuple[str, ...]:
    """Limits of the model and its figures, one sentence or more each."""
    facts, groups = evidence.provenance, "Groups contain near-duplicates"
    if facts.patients:
        return (*LIMITS, f"{groups}, and the images of a patient: {patients(facts).strip()}")
    unknown = "it is not known whether a patient has images in two splits."
    return (*LIMITS, f"{groups}. Without patient identifiers {unknown}")


@dataclass(frozen=True)
class CheckText:
    """The gate's verdict: `word` in capitals, `kind`: CSS class, `sentence` with the reason."""

    word: str
    kind: str
    sentence: str


def verdict(evidence: ReportInputs) -> CheckText:
    """Format the gate's result as a word and a sentence."""
    gate, data = evidence.gate, evidence.evaluation.data
    if gate.status == "not judged":
        sentence = (
            f"Not judged: the test split was not evaluated. The figures are on val of {data}."
        )
        beyond = [f" It is {clause}." for clause in map(outside, gate.breached)]
        return CheckText("NOT JUDGED", "open", sentence + "".join(beyond))
    failing = [check for check in gate.checks if not check.passed]
    count = len(gate.checks)
    if gate.status == "passed":
        noun = "The one check passed" if count == 1 else f"All {count} checks passed"
        return CheckText("PASSED", "good", f"{noun} on the test split of {data}.")
    clauses = [outside(clause) for clause in gate.breached]
    if failing:
        said = "; ".join(map(broken, failing))
        clauses.insert(
            0, f"{len(failing)} of {count} checks failed on the test split of {data}: {said}"
        )
    return CheckText("REJECTED", "bad", f"{'; '.join(clauses)}.")


def outside(clause: ClauseResult) -> str:
    """Format a breached clause of the change plan."""
    return f"outside pccp.yaml, clause {clause.clause}: {clause.reason}"


def plan_summary(clauses: Sequence[ClauseResult]) -> str:
    """Format how many clauses of the change plan are held, breached or not judged."""
    count = Counter(clause.status for clause in clauses)
    return ", ".join(f"{number} {status}" for status, number in sorted(count.items()))


def broken(check: CheckResult) -> str:
    """Format the reason why a check failed."""
    if not check.judged or check.bound is None:
        return f"{checked(check)} {absent(check)}"
    side = "below" if higher_is_better(check.metric) else "above"
    side = "not better than the baseline" if check.above else side
    end = "" if check.on == "point" else " at its conservative end"
    return f"{checked(check)}{end} is {held(check)}, {side} {limit(check)}"


def checked(check: CheckResult) -> str:
    """Title of a check: its metric and, if any, its subgroup."""
    name = title(check.metric)
    return name if check.where is None else f"{name}, {subgroup(check.where)}"


def subgroup(where: Where) -> str:
    """Name of a subgroup, such as `lesion size small`."""
    return f"{where.column.replace('_', ' ')} {where.value}"


def absent(check: CheckResult) -> str:
    """Reason why a check could not be evaluated."""
    if check.reason == MISSING and check.value is not None:
        return f"can't be compared: the baseline {check.above} was not measured"
    if check.reason == MISSING:
        return "is missing: the model does not predict it"
    if check.n is None:
        return f"is missing: {check.reason}"
    if check.n < check.min_n:
        return f"rests on {check.n} images, {check.min_n} are needed"
    return "could not be computed"


def held(check: CheckResult) -> str:
    """Format a check's value with enough decimals to differ from its bound, 3 to 8."""
    if check.value is None:
        return number(None)
    value, edge = check.value, check.bound
    if edge is None:
        return number(value)
    digits = next((n for n in range(3, 9) if round(value, n) != round(edge, n)), 3)
    return f"{value:.{digits}f}"


def asked(check: CheckResult) -> str:
    """Format a check's bound with its direction, such as `≥ 0.70`."""
    higher = higher_is_better(check.metric)
    if check.above:
        return f"{'>' if higher else '<'} {limit(check)}"
    return f"{'≥' if higher else '≤'} {limit(check)}"


def limit(check: CheckResult) -> str:
    """Format a bound with all its decimals, at least two; a baseline with its name."""
    if check.above or check.bound is None:
        return f"{number(check.bound)} ({check.above.replace('_', ' ')})"
    return max(f"{check.bound:.2f}", f"{check.bound:g}", key=len)


def drift(report: DriftReport) -> str:
    """Format a drift report in one sentence."""
    count = len(report.columns)
    if not report.drifted:
        return f"The {report.source} is like the training images in all {count} features."
    named = ", ".join(report.drifted).replace("_", " ")
    said = f"differs from the training images in {len(report.drifted)} of {count} features"
    return f"The {report.source} {said}: {named}."


def shortcut(figures: Mapping[str, Figure]) -> str | None:
    """Format the shortcut check; None if its figures are absent."""
    inside, chance = figures.get("evidence_inside"), figures.get("evidence_chance")
    above = figures.get("evidence_above_chance")
    if not inside or not chance or not above or above.low is None or above.high is None:
        return None
    verdict = (
        "more than chance"
        if above.low > 0
        else "less than chance"
        if above.high < 0
        else "not significantly different from chance"
    )
    return (
        f"Class evidence inside the lesion: {percent(inside.value)} on average "
        f"({percent(inside.low)} to {percent(inside.high)}) against {percent(chance.value)} by "
        f"chance, the lesion’s area fraction: {verdict} (difference {percent(above.value)}, "
        f"{percent(above.low)} to {percent(above.high)}; {above.n} images with a lesion, "
        f"{above.groups} groups)."
    )


def conformal(cases: Sequence[EvaluatedImage]) -> str | None:
    """Format coverage and size of the sets of classes calibrated on val; None if there are none."""
    known = {
        split: [
            Classified(case.group or case.image, case.label, case.probs)
            for case in cases
            if case.split == split and case.label in case.probs
        ]
        for split in ("val", "test")
    }
    found = conformal_sets(known["val"], known["test"])
    if found is None:
        return None
    share = f"{1 - MISCOVERAGE:.0%}".replace("%", " %")
    if found.least is None or found.coverage is None or found.single is None:
        return f"Sets of classes: {found.groups} groups of val are too few to promise {share}."
    return (
        f"Sets of classes with a promise: every class of probability {found.least:.3f} or more, so "
        f"that about {share} of new groups have the true class in the sets of all their images "
        f"(calibrated on {found.groups} groups of val, on which temperature and thresholds were "
        f"chosen, too). On test that holds for {percent(found.coverage.value)} of groups "
        f"({percent(found.coverage.low)} to {percent(found.coverage.high)}), and the set is one "
        f"class alone for {percent(found.single.value)} of images ({percent(found.single.low)} to "
        f"{percent(found.single.high)}); the others would be for a person. This is shown, not "
        "used: the decision is that of the operating point."
    )


def percent(value: float | None) -> str:
    """Format a fraction in percent with one decimal."""
    return "–" if value is None else f"{100 * value:.1f} %"


def ordered(metrics: Iterable[str]) -> list[str]:
    """Sort metrics in the order of the catalogue, others after them by name."""
    order = {name: place for place, name in enumerate(_ORDER)}
    return sorted(set(metrics), key=lambda name: (order.get(name, len(order)), name))


def title(name: str) -> str:
    """Display name of a metric."""
    try:
        return metric(name).title
    except KeyError:
        return EVIDENCE_TITLES.get(name, name.replace("_", " ").capitalize())


def baseline_title(name: str) -> str:
    """Display name of a baseline: its metric and predictor."""
    for key, said in BASELINES.items():
        if name.startswith(f"{key}_"):
            return f"{title(name.removeprefix(f'{key}_'))}: {said}"
    return title(name)


def outcome(evidence: ReportInputs, check: CheckResult) -> str:
    """Result of a check: `passed`, `failed` or `not judged`."""
    if evidence.gate.status == "not judged":
        return "not judged"
    return "passed" if check.passed else "failed"


def number(value: float | None) -> str:
    """Format a value with three decimals; None is a dash."""
    return "–" if value is None else f"{value:.3f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format rows of cells as lines; each column is as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(row).rstrip() for row in cells]


def signed(value: float | None) -> str:
    """Format a difference with its sign and three decimals; None is a dash."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def interval(figure: Figure) -> str:
    """Format the ends of the 95 % interval; a dash without them."""
    if figure.low is None or figure.high is None:
        return "–"
    return f"{figure.low:.3f} to {figure.high:.3f}"


def spread(value: float | None, low: float | None, high: float | None, sd: float | None) -> str:
    """Format a figure with its standard deviation and interval; a dash without them."""
    if value is None or low is None or high is None:
        return "–"
    return f"{value:.3f}{'' if sd is None else f' ± {sd:.3f}'} ({low:.3f} to {high:.3f})"


def counted(figure: Figure) -> str:
    """Format the numbers of images and groups of a figure, such as `7 / 6`."""
    return f"{figure.n} / {figure.groups}"


def baselines(evidence: ReportInputs, metric: str) -> tuple[tuple[str, Figure], ...]:
    """Baselines of a metric, as (predictor, figure)."""
    named = ((said, f"{key}_{metric}") for key, said in BASELINES.items())
    found = evidence.evaluation.baselines
    return tuple((said, found[name]) for said, name in named if name in found)


def paper(evidence: ReportInputs, metric: str) -> float | None:
    """Published figure of a metric on BUSI; None on other data sets."""
    return PAPER.get(metric) if evidence.evaluation.data == "busi" else None


def ordinal(number: int) -> str:
    """Format a number as 1st, 2nd, 3rd, 11th, ..."""
    teen = number % 100 in {11, 12, 13}
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def opening(evidence: ReportInputs) -> str:
    """Format the number of this test evaluation; empty if test was not evaluated."""
    number = evidence.opening.number if evidence.opening else None
    return "" if number is None else f"{ordinal(number)} evaluation on this test split"
