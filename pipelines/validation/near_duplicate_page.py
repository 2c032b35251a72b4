"""The page that shows near-duplicates side by side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hgmnet.data.images import Grey
from hgmnet.pages.html import data_uri, fill, fit
from hgmnet.splitting.pairs import Conflict, Pair

SHOWN = 60
"""Pairs of a kind, at most; the least certain ones are shown."""

_SIDE = 240  # px
_QUALITY = 78


class PairImage(NamedTuple):
    """A picture ready to be shown, and how it was called."""

    name: str
    label: str
    uri: str


@dataclass(frozen=True)
class Couple:
    """Two images side by side and what is known of them."""

    pictures: tuple[PairImage, PairImage]
    evidence: str


@dataclass(frozen=True)
class PairRow:
    """Pairs of one kind: those that are shown, of how many."""

    couples: tuple[Couple, ...]
    total: int


def render_likeness(
    data: str,
    labels: Mapping[str, str],
    pairs: Sequence[Pair],
    conflicts: Sequence[Conflict],
    read: Callable[[str], Grey],
) -> str:
    """The whole page; the same arguments give the same text.

    Args:
        data: the data set's name.
        labels: the class by image.
        pairs: all of them; those of equal pixels, and those that were told, are counted.
        conflicts: all of them are shown.
        read: gives an image (H, W) by its name.
    """
    found = [pair for pair in pairs if pair.transform not in {"identity", "curation", "patient"}]

    def show(image: str) -> PairImage:
        grey = read(image)
        return PairImage(image, labels[image], data_uri(grey, fit(grey, _SIDE), _QUALITY))

    return fill(
        __file__,
        "near_duplicates.html.j2",
        data=data,
        conflicts=[[_couple(pair, show) for pair in conflict.pairs] for conflict in conflicts],
        copies=_shelf((pair for pair in found if pair.kind == "copy"), show),
        scenes=_shelf((pair for pair in found if pair.kind == "scene"), show),
        twins=sum(pair.transform == "identity" for pair in pairs),
        told=sum(pair.transform in {"curation", "patient"} for pair in pairs),
    )


def _shelf(pairs: Iterable[Pair], show: Callable[[str], PairImage]) -> PairRow:
    """The least certain first."""
    ordered = sorted(pairs, key=lambda pair: (pair.agreement, pair.score, pair.first, pair.second))
    return PairRow(tuple(_couple(pair, show) for pair in ordered[:SHOWN]), len(ordered))


def _couple(pair: Pair, show: Callable[[str], PairImage]) -> Couple:
    evidence = "the same pixels"
    if pair.transform != "identity":
        evidence = (
            f"agreement {pair.agreement:.3f} · {pair.score} agreeing points · {pair.transform}"
        )
    return Couple((show(pair.first), show(pair.second)), evidence)
