"""A study's table as a paper would print it: Markdown and LaTeX."""

from collections.abc import Sequence

from pipelines.report import wording
from pipelines.studies.design import SHORT, Study
from pipelines.studies.summary import ALL, Line

LEGEND = "In brackets the 95 % interval by a bootstrap that draws groups of images."
SPREAD = " ± is the standard deviation over folds."
DIFFERENCE = (
    "Differences are minus {reference}, paired by image. Of all the intervals one in twenty leaves "
    "0 out by chance alone; nothing is corrected for that."
)


def shown(found: Sequence[Line]) -> list[str]:
    """The figures that the printed table has, of those that there are."""
    return [metric for metric in SHORT if any(line.metric == metric for line in found)]


def head(study: Study, found: Sequence[Line]) -> list[str]:
    """The head of the table."""
    columns = ["Images", "Variant"] if study.parts else ["Variant"]
    for metric in shown(found):
        columns += [wording.title(metric), *(["difference"] if study.reference else [])]
    return columns


def body(study: Study, found: Sequence[Line]) -> list[list[str]]:
    """A row a variant and part of the images."""
    by_key = {(line.part, line.variant, line.metric): line for line in found}
    rows = []
    for part, variant in dict.fromkeys((line.part, line.variant) for line in found):
        row = [part, study.variants[variant]] if study.parts else [study.variants[variant]]
        for metric in shown(found):
            line = by_key.get((part, variant, metric))
            row += [value(line), *([gain(line)] if study.reference else [])]
        rows.append(row)
    return rows


def value(line: Line | None) -> str:
    """A figure with spread and interval; a dash where there is none."""
    if line is None or line.value is None or line.low is None or line.high is None:
        return "–"
    spread = "" if line.sd_folds is None or line.part != ALL else f" ± {line.sd_folds:.3f}"
    return f"{line.value:.3f}{spread} ({line.low:.3f} to {line.high:.3f})"


def gain(line: Line | None) -> str:
    """A difference with its interval; a dash where there is none, and for the reference itself."""
    if line is None or line.difference is None:
        return "–"
    low, high = signed(line.difference_low), signed(line.difference_high)
    return f"{signed(line.difference)} ({low} to {high})"


def signed(number: float | None) -> str:
    """With its sign and three decimals."""
    return "–" if number is None else f"{number:+.3f}".replace("-", "−")


def legend(study: Study) -> str:
    """What the numbers are."""
    told = LEGEND + SPREAD * (len({cell.fold for cell in study.cells}) > 1)
    if study.reference is None:
        return told
    return f"{told} {DIFFERENCE.format(reference=study.variants[study.reference])}"


def markdown(study: Study, found: Sequence[Line], setting: str) -> str:
    """The table in Markdown, with what it is of and what may not be concluded."""
    columns = head(study, found)
    table = [columns, ["---"] * len(columns), *body(study, found)]
    parts = [
        f"# {study.title}",
        f"{study.question} {setting}",
        "\n".join(f"| {' | '.join(row)} |" for row in table),
        " ".join((legend(study), *study.facts)),
        "\n".join(f"- {note}" for note in study.notes),
    ]
    return "\n\n".join(parts) + "\n"


def latex(study: Study, found: Sequence[Line], setting: str) -> str:
    """The table in LaTeX; it needs the package booktabs."""
    columns = head(study, found)
    text = sum(name in {"Images", "Variant"} for name in columns)
    rows = [columns, *body(study, found)]
    first, *rest = (" & ".join(map(_tex, row)) + r" \\" for row in rows)
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_tex(f'{study.title}. {setting} {legend(study)}')}}}",
            rf"\begin{{tabular}}{{{'l' * text}{'r' * (len(columns) - text)}}}",
            r"\toprule",
            first,
            r"\midrule",
            *rest,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


_TEX = {
    "\\": r"\textbackslash{}",
    "%": r"\%",
    "&": r"\&",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "−": "$-$",
    "±": r"$\pm$",
    "–": "--",
    "×": r"$\times$",
    "’": "'",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)
