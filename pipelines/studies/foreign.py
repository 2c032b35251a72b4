"""Images of another data set, for a model that has not seen them: classes mapped, seen ones out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hgmnet import contamination
from hgmnet.data.images import read_grey
from hgmnet.data.resample import fit_image, fit_mask
from hgmnet.data.store import Entry, Store
from hgmnet.data.truth import read_truth
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.folds import deal_folds
from hgmnet.models.spec import Spec
from pipelines.registry.bouts import all_entries
from pipelines.studies.pace import counted
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Foreign:
    """The images that a model may be judged on, under its classes.

    `mapping`: each class of the set and the model's. `missing`: classes of the model without an
    image. `seen`: how many images were left out since the model had seen them.
    """

    entries: tuple[Entry, ...]
    mapping: dict[str, str]
    missing: tuple[str, ...]
    seen: int


def foreign(space: Workspace, spec: Spec, mapping: Mapping[str, str]) -> Foreign:
    """Read the set's manifest, map its classes, and leave out what the model has seen.

    Args:
        space: of the other data set.
        spec: of the model.
        mapping: classes of the set to the model's, where they are called otherwise.

    Raises:
        ConfigError: it is the model's own set, was not read yet, or a class has no counterpart.
        InvalidDataError: the model has seen all of it.
    """
    if space.data == spec.data:
        raise ConfigError(f"--data {space.data} is what the model was made from; name another set")
    entries = all_entries(space)
    labels = sorted({entry.label for entry in entries})
    mapped = {label: mapping.get(label, label) for label in labels}
    _refuse_strange(mapped, mapping, spec.classes)
    checked = contamination.check(entries, space.data, [spec])
    if not checked.clean:
        raise InvalidDataError(f"the model has seen all {len(entries)} images of {space.data}")
    clean = tuple(e.model_copy(update={"label": mapped[e.label]}) for e in checked.clean)
    there = {entry.label for entry in clean}
    missing = tuple(name for name in spec.classes if name not in there)
    return Foreign(clean, mapped, missing, len(checked.seen))


def part_of(entries: Sequence[Entry], share: float, seed: int) -> tuple[str, ...]:
    """`val` for a share of the images, whole groups and every class alike, else `judged`.

    The share is rounded to one over a whole number of parts, 2 at least.

    Raises:
        ConfigError: the share is not between 0 and 1/2, or a class has too few images for it.
    """
    if not 0 < share <= 0.5:
        raise ConfigError(f"--recalibrate {share:g}: expected a share above 0 and at most 0.5")
    own = [entry.model_copy(update={"split": "train"}) for entry in entries]
    dealt = deal_folds(own, round(1 / share), seed)
    return tuple("val" if fold == 0 else "judged" for fold in dealt)


def squares(space: Workspace, entries: Sequence[Entry], sides: Sequence[str], spec: Spec) -> Store:
    """The images of the `val` side as the model sees them, in memory."""
    chosen = [
        entry.model_copy(update={"split": "val"})
        for entry, side in zip(entries, sides, strict=True)
        if side == "val"
    ]
    images, masks = [], []
    for entry in chosen:
        grey = read_grey(space.raw, entry.image)
        images.append(fit_image(grey, spec.prepare))
        masks.append(fit_mask(read_truth(space.raw, entry), spec.prepare))
    return Store(np.stack(images), np.stack(masks).astype(np.uint8), tuple(chosen))


def said(found: Foreign, data: str) -> str:
    """How classes were mapped and what was left out, in sentences."""
    pairs = ", ".join(f"{theirs} → {ours}" for theirs, ours in found.mapping.items())
    counts = Counter(entry.label for entry in found.entries)
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    missing = (
        f" No image of {' or '.join(found.missing)}: a decision for it is an error, and figures "
        "about it are left out."
        if found.missing
        else ""
    )
    count = counted(found.seen, "image")
    seen = f" Left out, since the model had seen them: {count} of {data}."
    return f"Classes: {pairs}; {told}.{missing}{seen if found.seen else ''}"


def _refuse_strange(
    mapped: Mapping[str, str], mapping: Mapping[str, str], classes: Sequence[str]
) -> None:
    if unused := [name for name in mapping if name not in mapped]:
        raise ConfigError(
            f"--map {unused[0]}=...: the set has no such class; it has {', '.join(mapped)}"
        )
    for theirs, ours in mapped.items():
        if ours not in classes:
            raise ConfigError(
                f"class `{theirs}` is none of the model's, {', '.join(classes)}; say which it is: "
                f"--map {theirs}=<class>"
            )
