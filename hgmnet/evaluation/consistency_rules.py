"""Figures with other consistency rules, from the rows of per_image.csv alone.

`normal_means_no_mask` removes the mask of an image whose class is normal.
`no_mask_means_normal` makes the decision normal if no mask is left, unless it is malignant.
"""

import pandas as pd

from hgmnet.config.base import MALIGNANT, NORMAL, UNCLASSIFIED

RULES = tuple((first, second) for first in (False, True) for second in (False, True))
FIGURES = (
    "served_lesion_dice",
    "dice_all",
    "served_normal_fp_rate",
    "served_accuracy",
    "served_sensitivity_malignant",
    "served_specificity_malignant",
)
"""The figures that the rules can change."""


def served(
    table: pd.DataFrame, *, normal_means_no_mask: bool, no_mask_means_normal: bool
) -> pd.DataFrame:
    """Recompute `decision` and the counts `served_*` of each row with these rules.

    `table`: rows of per_image.csv, of a model of masks and classes, with a class normal.
    """
    kept = table["large"] & (table["tp"] + table["fp"] > 0)
    if normal_means_no_mask:
        kept &= table["decided"] != NORMAL
    bare = ~kept & ~table["decided"].isin([MALIGNANT, UNCLASSIFIED])
    decision = table["decided"].mask(bare, NORMAL) if no_mask_means_normal else table["decided"]
    return table.assign(
        served_tp=table["tp"].where(kept, 0),
        served_fp=table["fp"].where(kept, 0),
        served_fn=table["fn"].where(kept, table["tp"] + table["fn"]),
        served_tn=table["tn"].where(kept, table["fp"] + table["tn"]),
        decision=decision,
    )
