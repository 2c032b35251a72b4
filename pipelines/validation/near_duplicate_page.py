"""The page that shows near-duplicates side by side."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hgmnet.data.images import Grey
from hgmnet.pages.html import data_uri, fill, fit
from hgmnet.splitting.pairs import CHAINED, Conflict, Pair

SHOWN = 60
"""Most pairs shown per kind; the least certain ones come first."""


def render_likeness(
    data: str,
    labels: Mapping[str, str],
    pairs: Sequence[Pair],
    conflicts: Sequence[Conflict],
    read: Callable[[str], Grey],
) -> str:
    """Render the page as HTML; the same arguments give the same text.

    `labels`: the class by image. Pairs of equal pixels, of curation.csv and of one patient are only
    counted; all conflicts are shown. `read`: returns an image (H, W) uint8 by its name.
    """
    found = [pair for pair in pairs if pair.transform not in {"identity", *CHAINED}]

    def picture(image: str) -> dict[str, str]:
        grey = read(image)
        uri = data_uri(grey, fit(grey, 240), 78)  # px, JPEG quality
        return {"name": image, "label": labels[image], "uri": uri}

    def couple(pair: Pair) -> dict[str, Any]:
        points = f"{pair.score} agreeing points · {pair.transform}"
        evidence = f"agreement {pair.agreement:.3f} · {points}"
        if pair.transform == "identity":
            evidence = "the same pixels"
        return {"pictures": (picture(pair.first), picture(pair.second)), "evidence": evidence}

    def shelf(kind: str) -> dict[str, Any]:
        of_kind = [pair for pair in found if pair.kind == kind]
        of_kind.sort(key=lambda pair: (pair.agreement, pair.score, pair.first, pair.second))
        return {"couples": [couple(pair) for pair in of_kind[:SHOWN]], "total": len(of_kind)}

    return fill(
        __file__,
        "near_duplicates.html.j2",
        data=data,
        conflicts=[[couple(pair) for pair in conflict.pairs] for conflict in conflicts],
        copies=shelf("copy"),
        scenes=shelf("scene"),
        twins=sum(pair.transform == "identity" for pair in pairs),
        stated=sum(pair.transform in CHAINED for pair in pairs),
    )
