"""The shortcut check: class evidence inside the lesion against chance, over images."""

import pandas as pd

from hgmnet.attribution import COLUMNS
from hgmnet.figure import Figure
from hgmnet.statistics import GroupBootstrap, Mean


def figures(table: pd.DataFrame, draws: int, seed: int) -> dict[str, Figure]:
    """The mean shares of the images in `table` that have them, with 95 % intervals.

    `evidence_above_chance`: the mean difference, paired by image; none above 0 is a warning.

    Args:
        table: rows of per_image.csv, of one split.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    if not set(COLUMNS) <= set(table.columns):
        return {}
    told = table.dropna(subset=list(COLUMNS))
    if told.empty:
        return {}
    inside, chance = (told[name].to_numpy(dtype=float) for name in COLUMNS)
    bootstrap = GroupBootstrap(told["group"].tolist(), draws, seed)
    values = dict(zip(COLUMNS, (inside, chance), strict=True))
    values["evidence_above_chance"] = inside - chance
    return {name: bootstrap.figure(Mean(v), proportion=False) for name, v in values.items()}
