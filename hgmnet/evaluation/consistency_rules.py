"""What would be served with other consistency rules, from the rows of per_image.csv alone.

`normal_means_no_mask` takes the mask of an image whose class is normal.
`no_mask_means_normal` makes the decision normal where no mask is left, but a malignant one stays.
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
"""What the rules can change."""


def served(
    table: pd.DataFrame, *, normal_means_no_mask: bool, no_mask_means_normal: bool
) -> pd.DataFrame:
    """The rows as they would be with these rules: the counts `served_*` and `decision` again.

    Args:
        table: rows of per_image.csv, of a model that tells masks and classes, normal among them.
        normal_means_no_mask: the first rule is on.
        no_mask_means_normal: the second one is.
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
