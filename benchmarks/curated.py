"""Copy the images of the Curated BUSI list into a folder in BUSI's layout, for `hgmnet import`.

    python benchmarks/curated.py LIST.csv Dataset_BUSI_with_GT FOLDER

LIST: columns class and id, separated by `;`; 450 images, by Aumente-Maestro et al., Computer
Methods and Programs in Biomedicine 260, 2025, 108540.
"""

import shutil
import sys
from pathlib import Path

import pandas as pd


def main() -> None:
    """Copy each listed image with its masks."""
    listed, source, target = map(Path, sys.argv[1:])
    for row in pd.read_csv(listed, sep=";").itertuples():
        stem = f"{row[1]} ({row.id})"
        (target / row[1]).mkdir(parents=True, exist_ok=True)
        for file in [source / row[1] / f"{stem}.png", *(source / row[1]).glob(f"{stem}_mask*.png")]:
            shutil.copy(file, target / row[1])


if __name__ == "__main__":
    main()
