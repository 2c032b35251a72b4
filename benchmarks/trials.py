"""Trials of benchmarks/recipe.py side by side: `python benchmarks/trials.py OUT [name ...]`.

The folds of each trial, pooled, with 95 % intervals by groups and the paired difference from the
first; then its seeds, one by one, with their mean and standard deviation.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hgmnet.metrics.bootstrap import Figure, GroupBootstrap, Mean
from hgmnet.metrics.segmentation import dice

HEAD = "| trial | images | lesion Dice | difference | accuracy | difference | s a fold |"


def main() -> None:
    """Print the tables."""
    out, *names = Path(sys.argv[1]), *sys.argv[2:]
    names = names or sorted(folder.name for folder in out.iterdir() if folder.is_dir())
    print("\n".join(folds(out, [name for name in names if files(out / name, "fold")])))
    for name in names:
        for kind in ("seed", "test"):
            print("\n".join(seeds(out / name, kind)), end="")


def files(folder: Path, kind: str) -> list[Path]:
    """What recipe.py wrote: fold0.csv and so on."""
    return sorted(folder.glob(f"{kind}*[0-9].csv"))


def folds(out: Path, names: Sequence[str]) -> Iterator[str]:
    """A row a trial."""
    yield HEAD
    yield "|" + "---|" * (HEAD.count("|") - 1)
    first: dict[str, pd.Series] = {}
    for name in names:
        found = files(out / name, "fold")
        rows = pd.concat([pd.read_csv(file) for file in found]).set_index("image").sort_index()
        cells = [name, str(len(rows))]
        for metric, values in scores(rows).items():
            cells.append(shown(figure(values, rows, proportion=metric == "accuracy")))
            gain = (values - first.setdefault(metric, values)).dropna()
            cells.append(shown(figure(gain, rows, proportion=False)) if gain.any() else "")
        about = [json.loads(file.with_suffix(".json").read_text()) for file in found]
        seconds = np.mean([one["seconds"] for one in about])
        yield "| " + " | ".join([*cells, f"{seconds:.0f}"]) + " |"


def seeds(folder: Path, kind: str) -> Iterator[str]:
    """A row a seed and split, and their mean with the standard deviation."""
    values: dict[str, list[tuple[float, float]]] = {}
    for file in files(folder, kind):
        for split, rows in pd.read_csv(file).set_index("image").groupby("split"):
            found = scores(rows)
            cells = [
                shown(figure(known, rows, proportion=metric == "accuracy"))
                for metric, known in found.items()
            ]
            yield f"\n{folder.name} {file.stem} {split}: " + ", ".join(cells)
            means = (float(found["lesion Dice"].mean()), float(found["accuracy"].mean()))
            values.setdefault(str(split), []).append(means)
    for split, pairs in values.items():
        if len(pairs) > 1:
            mean, spread = np.mean(pairs, axis=0), np.std(pairs, axis=0, ddof=1)
            told = (f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True))
            yield f"\n{folder.name} {split}, {len(pairs)} seeds: " + ", ".join(told) + "\n"


def scores(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """One value an image: Dice where there is a lesion, and whether the class is right."""
    lesion = rows[rows["tp"] + rows["fn"] > 0]
    values = dice(*(lesion[name].to_numpy(np.int64) for name in ("tp", "fp", "fn")))
    return {
        "lesion Dice": pd.Series(values, index=lesion.index),
        "accuracy": (rows["label"] == rows["predicted"]).astype(float),
    }


def figure(values: pd.Series, rows: pd.DataFrame, *, proportion: bool) -> Figure:
    """The mean with its interval by groups."""
    known = values.to_numpy(float)
    groups = rows.loc[values.index, "group"].tolist()
    bootstrap = GroupBootstrap(groups, draws=2000, seed=0)
    return bootstrap.figure(Mean(known), proportion=proportion)


def shown(known: Figure) -> str:
    """`0.731 [0.700, 0.760]`."""
    return f"{known.value:.3f} [{known.low:.3f}, {known.high:.3f}]"


if __name__ == "__main__":
    main()
