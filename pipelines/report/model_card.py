"""The model card: what the model is, what it was made from and what it is worth, as Markdown."""

from pathlib import Path

from pipelines.report import claim, network, page, provenance, wording
from pipelines.report.evidence import Evidence
from pipelines.templates import templates


def render_model_card(evidence: Evidence) -> str:
    """The card, wholly from the evidence; the same evidence gives the same text."""
    return (
        templates(Path(__file__).parent)
        .get_template("model_card.md.j2")
        .render(
            evidence=evidence,
            data=evidence.evaluation.data,
            split=evidence.split,
            verdict=wording.verdict(evidence),
            words=wording,
            counts=page.class_counts(evidence),
            network=network.summary(evidence.spec),
            lineage=page.lineage(evidence),
            sides=page.SIDES,
            likeness=provenance.likeness(evidence.provenance),
            excluded=provenance.excluded(evidence.provenance),
            shortcut=wording.shortcut(evidence.figures),
            claim=claim.items(evidence),
        )
    )
