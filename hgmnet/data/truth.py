"""The true mask of an image of the prepared set, at its own size."""

from pathlib import Path

import numpy as np

from hgmnet.data.busi import read_mask
from hgmnet.data.resample import Mask
from hgmnet.data.store import Entry


def read_truth(raw: Path, entry: Entry) -> Mask:
    """Unite an entry's masks below raw/, (H, W) bool; empty where it has none.

    Raises:
        InvalidDataError: a mask is absent, does not decode, or their sizes differ.
    """
    if not entry.masks:
        return np.zeros((entry.height, entry.width), dtype=np.bool_)
    return read_mask([raw / name for name in entry.masks.split("|")])
