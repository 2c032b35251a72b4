"""The model card: what the model is, what it was made from and what it is worth, as Markdown."""

from pipelines.report import page, wording
from pipelines.report.evidence import Evidence


def render_model_card(evidence: Evidence) -> str:
    """The card, wholly from the evidence; the same evidence gives the same text."""
    return (
        page.environment()
        .get_template("model_card.md.j2")
        .render(
            evidence=evidence,
            data=evidence.evaluation.data,
            split=evidence.split,
            verdict=wording.verdict(evidence),
            words=wording,
            counts=page.class_counts(evidence),
            lineage=page.lineage(evidence),
        )
    )
