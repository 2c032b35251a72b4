"""Check that no model is evaluated on images that it was fitted on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hgmnet.data.prepared import PreparedImage
from hgmnet.models.spec import Spec, hash_name


@dataclass(frozen=True)
class Checked:
    """Images that no model was fitted on, and images that one was; both in their given order."""

    clean: tuple[PreparedImage, ...]
    seen: tuple[PreparedImage, ...]


def check(entries: Iterable[PreparedImage], data: str, models: Sequence[Spec]) -> Checked:
    """Separate the images that none of the models was trained or tuned on from the others.

    An image is recognised by its pixels in any data set; a group by its name, only within one data
    set, because groups are named after files. `data`: the data set that the images are from.
    """
    pixels = frozenset[str]().union(*(model.seen.pixels for model in models))
    groups = {group for model in models if model.data == data for group in model.seen.groups}
    clean: list[PreparedImage] = []
    seen: list[PreparedImage] = []
    for entry in entries:
        known = entry.pixel_sha256 in pixels or hash_name(entry.group) in groups
        (seen if known else clean).append(entry)
    return Checked(tuple(clean), tuple(seen))
