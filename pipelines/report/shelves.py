"""Which images a reader should see: the worst of each kind of failure, and every quality."""

from collections.abc import Sequence
from dataclasses import dataclass

from hgmnet.config import MALIGNANT
from pipelines.report.evidence import Case

BENIGN = "benign"
EACH = 4
"""Images in a shelf, at most: a row of them."""


@dataclass(frozen=True)
class Shelf:
    """A row of the gallery: `name` says which images, `note` how they were chosen."""

    name: str
    note: str
    cases: tuple[Case, ...]


def choose(
    cases: Sequence[Case], *, segments: bool = True, classifies: bool = True
) -> tuple[Shelf, ...]:
    """The worst of each kind of failure, and the best, middle and worst lesions by Dice.

    Args:
        cases: of one split.
        segments: whether the model tells masks.
        classifies: whether it tells a class.
    """
    lesions = [case for case in cases if case.dice is not None]
    masks = (*_by_dice(lesions), _missed(lesions), _false(cases)) if segments else ()
    return masks + ((_alarms(cases), _overlooked(cases)) if classifies else ())


def _by_dice(lesions: Sequence[Case]) -> tuple[Shelf, ...]:
    """Best, middle and worst, no image twice."""
    ranked = sorted(lesions, key=lambda c: (c.dice, c.image))
    each = min(EACH, -(-len(ranked) // 3))
    worst, rest = ranked[:each], ranked[each:]
    best = rest[max(0, len(rest) - each) :]
    between = rest[: len(rest) - len(best)]
    start = max(0, (len(between) - each) // 2)
    middle = between[start : start + each]
    of = f"of {len(ranked)} lesions, by Dice"
    return (
        Shelf("Best", f"the {len(best)} best {of}", tuple(reversed(best))),
        Shelf("Median", f"the {len(middle)} around the median {of}", tuple(reversed(middle))),
        Shelf("Worst", f"the {len(worst)} worst {of}", tuple(worst)),
    )


def _missed(lesions: Sequence[Case]) -> Shelf:
    missed = sorted((c for c in lesions if not c.tp), key=lambda c: (-c.area, c.image))
    note = f"{len(missed)} of {len(lesions)} lesions: no pixel of them found; the largest first"
    return Shelf("Missed lesions", note, tuple(missed[:EACH]))


def _false(cases: Sequence[Case]) -> Shelf:
    normals = [case for case in cases if case.dice is None]
    served = sorted((c for c in normals if c.served), key=lambda c: (-c.served / c.pixels, c.image))
    raw = sum(case.fp > 0 for case in normals)
    note = (
        f"{len(served)} of {len(normals)} images without a lesion were served a mask, {raw} got "
        "one from the network; the largest first"
        if normals
        else "no image without a lesion in this split"
    )
    return Shelf("False lesions", note, tuple(served[:EACH]))


def _alarms(cases: Sequence[Case]) -> Shelf:
    benign = [case for case in cases if case.label == BENIGN]
    wrong = [case for case in benign if case.decision == MALIGNANT]
    ranked = sorted(wrong, key=lambda c: (-c.probs[MALIGNANT], c.image))
    note = f"{len(wrong)} of {len(benign)} benign; the surest first"
    return Shelf("Benign called malignant", note, tuple(ranked[:EACH]))


def _overlooked(cases: Sequence[Case]) -> Shelf:
    malignant = [case for case in cases if case.label == MALIGNANT]
    wrong = [case for case in malignant if case.decision != MALIGNANT]
    ranked = sorted(wrong, key=lambda c: (c.probs[MALIGNANT], c.image))
    name = "Malignant called benign"
    if any(case.decision != BENIGN for case in wrong):
        name += " or normal"
    note = f"{len(wrong)} of {len(malignant)} malignant; the lowest probability of malignant first"
    return Shelf(name, note, tuple(ranked[:EACH]))
