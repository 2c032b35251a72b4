"""What a model has seen can't judge it: the one check of evaluation images against models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hgmnet.data.prepared import PreparedImage
from hgmnet.models.spec import Spec


@dataclass(frozen=True)
class Checked:
    """Images that no model has seen, and those that one has; both in the order they came."""

    clean: tuple[PreparedImage, ...]
    seen: tuple[PreparedImage, ...]


def check(entries: Iterable[PreparedImage], data: str, models: Sequence[Spec]) -> Checked:
    """Part the images that none of the models was trained or tuned on from the others.

    An image is known by its pixels, whatever the data set; a group by its name, within one data
    set alone, for groups are called after files.

    Args:
        entries: the images to evaluate on.
        data: the data set that they are from.
        models: what the models say of themselves; a comparison names both.
    """
    pixels = frozenset[str]().union(*(model.seen.pixels for model in models))
    groups = {group for model in models if model.data == data for group in model.seen.groups}
    clean: list[PreparedImage] = []
    seen: list[PreparedImage] = []
    for entry in entries:
        known = entry.pixel_sha256 in pixels or entry.group in groups
        (seen if known else clean).append(entry)
    return Checked(tuple(clean), tuple(seen))
