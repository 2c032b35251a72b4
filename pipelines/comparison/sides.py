"""The rows of two evaluations, brought together: the same images in the same order."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hgmnet.data.split import test_sha
from hgmnet.errors import ConfigError, InvalidDataError

FILE = "per_image.csv"
_WITHIN = (FILE, f"evaluation/{FILE}", f"reports/evaluation/{FILE}")
_NEEDED = ("image", "pixel_sha256", "label", "group", "split")


@dataclass(frozen=True, eq=False)
class Pair:
    """Two tables of per_image.csv's rows, row i of each the same picture; both of `split`."""

    split: str
    sha: str
    first: pd.DataFrame
    second: pd.DataFrame


def find_file(path: Path) -> Path | None:
    """The per_image.csv that a file or a folder (of a run, reports or evaluation) leads to."""
    if path.is_file():
        return path
    return next((path / name for name in _WITHIN if (path / name).is_file()), None)


def read_rows(path: Path) -> pd.DataFrame:
    """Read a per_image.csv.

    Raises:
        InvalidDataError: it is none.
    """
    try:
        table = pd.read_csv(path, dtype={"pixel_sha256": str, "group": str, "image": str})
    except (ValueError, OSError) as error:
        raise InvalidDataError(f"{path} is no {FILE}: {error}") from None
    absent = [name for name in _NEEDED if name not in table]
    if absent or table.empty:
        said = f"it lacks the columns {', '.join(absent)}" if absent else "it has no rows"
        raise InvalidDataError(f"{path} is no {FILE} of an evaluation: {said}")
    return table


def pair(first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str]) -> Pair:
    """Bring two evaluations together: on test where both were opened, else on val.

    Args:
        first: rows of one model.
        second: rows of the other.
        names: of the two, for messages.

    Raises:
        ConfigError: the two were not evaluated on the same images.
    """
    both = set(first["split"]) & set(second["split"])
    split = next((name for name in ("test", "val") if name in both), None)
    if split is None:
        raise ConfigError(f"{names[0]} and {names[1]} were evaluated on no split in common")
    sides = [_in_order(table, split) for table in (first, second)]
    shas = [test_sha(zip(t["pixel_sha256"], t["label"], strict=True)) for t in sides]
    if shas[0] != shas[1]:
        pixels = [set(table["pixel_sha256"]) for table in sides]
        raise ConfigError(
            f"{names[0]} and {names[1]} were evaluated on different {split} images: "
            f"{shas[0][:12]} is not {shas[1][:12]}; {len(pixels[0] & pixels[1])} pictures are "
            f"common, {len(pixels[0] - pixels[1])} and {len(pixels[1] - pixels[0])} are not. "
            "Evaluate both on today's split: dvc repro evaluate, with each model in turn"
        )
    ours, theirs = sides
    return Pair(split, shas[0], ours, theirs.assign(image=ours["image"], group=ours["group"]))


def _in_order(table: pd.DataFrame, split: str) -> pd.DataFrame:
    part = table[table["split"] == split]
    return part.sort_values(["pixel_sha256", "label", "image"]).reset_index(drop=True)
