"""The model card as HTML."""

from collections.abc import Callable
from pathlib import Path

from markdown_it import MarkdownIt

from hgmnet.models import description
from hgmnet.serving.model_slot import LoadedModel

FindCard = Callable[[LoadedModel], str]
"""Returns the card of a model in Markdown; empty if there is none."""


def to_html(markdown: str) -> str:
    """Convert a card to HTML; HTML in it is escaped, and pictures are omitted."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.attrs.pop("style", "") == "text-align:right":
            token.attrSet("class", "num")  # the page allows no style but its own sheet's
    return str(parser.renderer.render(tokens, parser.options, {}))


def card_beside(folder: Path) -> FindCard:
    """Return a finder of reports/model_card.md in the repository of a model folder.

    A card is used only if it contains the model's sha256, as it may be of an earlier model.
    """

    def find(served: LoadedModel) -> str:
        file = folder.resolve().parents[1] / "reports" / "model_card.md"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        return text if served.predictor.identity in text else ""

    return find


def own_words(served: LoadedModel) -> str:
    """Write a card from the model folder alone, for a model without a report."""
    spec = served.predictor.spec
    rows = [*description.shape(spec), ("Data set", spec.data), ("Classes", ", ".join(spec.classes))]
    rows += [("Fitted on", f"{len(spec.seen.train)} train images; {len(spec.seen.val)} val")]
    rows += [("Model (sha256 of its four files)", served.predictor.identity)]
    table = "\n".join(f"| {term} | {value} |" for term, value in rows)
    return (
        "# Contents of the model folder\n\nThis model has no card, so its performance is "
        "unknown here. `dvc repro report` writes one.\n\n"
        f"{description.summary(spec)}\n\n| | |\n|---|---|\n{table}\n"
    )
