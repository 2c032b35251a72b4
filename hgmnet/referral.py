"""From which uncertainty on a person should look, if that is worth it on val."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hgmnet.statistics import GroupBootstrap

Floats = NDArray[np.float64]
_DRAWS = 1000


def refer_bound(
    uncertain: Floats, errors: Floats, groups: Sequence[str], share: float
) -> float | None:
    """The uncertainty above which an image is referred, or None where that would not be worth it.

    It lies midway between two val images, so that at most `share` of them are above. It is worth it
    where those have the larger errors: where the difference of the mean errors is above 0 at the
    5 % point of 1,000 bootstrap draws of groups.

    Args:
        uncertain: of the N val images, in [0, 1].
        errors: of their findings, in [0, 1].
        groups: which they belong to.
        share: of the images, at most, that a person is to look at.
    """
    count = int(share * len(uncertain) + 1e-9)
    if not 0 < count < len(uncertain):
        return None
    falling = np.sort(uncertain)[::-1]
    bound = float((falling[count - 1] + falling[count]) / 2)
    referred = uncertain > bound

    def gap(rows: NDArray[np.int64]) -> float:
        high, low = errors[rows][referred[rows]], errors[rows][~referred[rows]]
        return float(high.mean() - low.mean()) if len(high) and len(low) else float("nan")

    gaps = np.array([gap(rows) for rows in GroupBootstrap(groups, _DRAWS, seed=0).resamples()])
    gaps = gaps[np.isfinite(gaps)]
    worth = len(gaps) > 0 and np.percentile(gaps, 5) > 0
    return bound if worth else None
