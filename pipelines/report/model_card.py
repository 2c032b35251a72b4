"""The model card as Markdown, with CLAIM's items filled from the run.

The Checklist for Artificial Intelligence in Medical Imaging, 2024 update: Tejani et al., Radiology:
AI 2024, doi 10.1148/ryai.240300, with its numbers; the items in short.
"""

from collections import Counter
from dataclasses import dataclass

from hgmnet.models import description
from hgmnet.pages.html import fill
from pipelines.report import html, inputs, text
from pipelines.report.inputs import ReportInputs

NO = "No: nothing in this run answers it"


@dataclass(frozen=True)
class Item:
    """An item of the checklist: number, required information, and the run's answer."""

    number: int
    asks: str
    answer: str


def items(evidence: ReportInputs) -> tuple[Item, ...]:
    """Return all 44 items in order, each with an answer, `No`, or why it is not applicable."""
    facts, groups = evidence.provenance, evidence.subgroups.groups if evidence.subgroups else ()
    sides: Counter[str] = Counter()
    for (_, side), count in facts.sides.items():
        sides[side] += count
    filled = fill(
        __file__,
        "claim.txt.j2",
        **html.shared(evidence),
        synthetic=evidence.evaluation.data == "phantom",
        shape=dict(description.shape(evidence.spec)),
        network=description.summary(evidence.spec),
        patients=inputs.patients(facts).rstrip(". "),
        packages=inputs.packages(facts.run) if facts.run else "",
        select=facts.run.params.get("train.select", "") if facts.run else "",
        columns=dict.fromkeys(group.column.replace("_", " ") for group in groups),
        shortcut=text.shortcut(evidence.figures),
        assigned=", ".join(f"{count} {side}" for side, count in sorted(sides.items())),
    )
    rows = (line.partition(" |") for line in filled.splitlines())
    return tuple(Item(n, asks, answer.strip() or NO) for n, (asks, _, answer) in enumerate(rows, 1))


def render_model_card(evidence: ReportInputs) -> str:
    """Render the model card; equal evidence gives equal text."""
    return fill(
        __file__,
        "model_card.md.j2",
        **html.shared(evidence),
        network=description.summary(evidence.spec),
        shortcut=text.shortcut(evidence.figures),
        claim=items(evidence),
    )
