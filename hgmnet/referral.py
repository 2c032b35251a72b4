"""From which uncertainty on a person should look, if that is worth it on val."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hgmnet.statistics import GroupBootstrap

Floats = NDArray[np.float64]
_DRAWS = 500


def refer_bound(
    uncertain: Floats, errors: Floats, groups: Sequence[str], share: float
) -> float | None:
    """The uncertainty above which an image is referred, or None where that would not be worth it.

    It lies midway between two val images, so that at most `share` of them are above. It is worth it
    where uncertainty puts the images in order of their errors: where the risk area lies below the
    mean error in 95 of 100 bootstrap draws of groups. All images are asked for that, since the few
    that would be referred are too few to tell.

    Args:
        uncertain: of the N val images, in [0, 1].
        errors: of their findings, in [0, 1].
        groups: which they belong to.
        share: of the images, at most, that a person is to look at.
    """
    count = int(share * len(uncertain) + 1e-9)
    if not 0 < count < len(uncertain):
        return None
    blocks = GroupBootstrap(groups, _DRAWS, seed=0).weights()
    draws = (
        np.flatnonzero(often).repeat(often[often > 0].astype(int)) for w in blocks for often in w
    )
    gains = [errors[rows].mean() - risk_area(uncertain[rows], errors[rows]) for rows in draws]
    if np.percentile(gains, 5) <= 0:
        return None
    falling = np.sort(uncertain)[::-1]
    return float((falling[count - 1] + falling[count]) / 2)


def risk_area(uncertain: Floats, errors: Floats) -> float:
    """Area under the risk-coverage curve: the mean error of the n surest images, over all n.

    Smaller is better; images ordered at random give the mean error (Geifman, El-Yaniv, NeurIPS
    2017). Images that are equally sure stand for one another.
    """
    order = np.argsort(uncertain, kind="stable")
    _, start, size = np.unique(uncertain[order], return_index=True, return_counts=True)
    alike = np.add.reduceat(errors[order], start) / size
    smooth = np.repeat(alike, size)
    return float((np.cumsum(smooth) / np.arange(1, len(smooth) + 1)).mean())
