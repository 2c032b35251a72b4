"""How often the drift check is wrong on BUSI: `python benchmarks/drift.py [--halves 100]`.

BUSI is cut in two at random, groups whole: the profile is of one half, the new images are of the
other. Once as they are (an alarm is false), and changed in ways that a model would suffer from (no
alarm is a miss). Image facts alone, no model. BUSI=<Dataset_BUSI_with_GT>, else ../shared/busi.
Prints Markdown.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from hgmnet.config.data import Phantom
from hgmnet.data import folder_layout, images, manifest
from hgmnet.data.image_statistics import ImageStatistics, measure
from hgmnet.data.images import Grey
from hgmnet.evaluation.drift import Profile, compare, summarise
from hgmnet.phantom import generate
from hgmnet.splitting import features, near_duplicates
from hgmnet.splitting import pairs as duplicates

ROOT = Path(__file__).resolve().parents[1]
BUSI = Path(os.environ.get("BUSI", ROOT.parent / "shared/busi/Dataset_BUSI_with_GT"))
COUNTS = (50, 100, 390)
"""New images: the last is a whole half, where that is not smaller."""
Table = NDArray[np.float64]
"""A row an image, a column a fact."""


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--halves", type=int, default=100)
    args = parser.parse_args()
    if not BUSI.is_dir():
        sys.exit(f"{BUSI} is not here; set BUSI=<Dataset_BUSI_with_GT>")
    names = [sample.image for sample in folder_layout.scan(BUSI)]
    groups = np.unique(grouped(names), return_inverse=True)[1]
    start = time.perf_counter()
    facts = {"nothing": as_table(pool_map(lambda name: measure(read(name)), names))}
    seconds = time.perf_counter() - start
    for change, alter in CHANGES.items():
        changed = pool_map(lambda name, alter=alter: measure(alter(read(name))), names)
        facts[change] = as_table(changed)
    facts["phantoms instead"] = as_table(pool_map(measure, draw(len(names))))
    print(f"{len(names)} images, {groups.max() + 1} groups; read and measured in {seconds:.1f} s")
    print(f"\nAlarms in {args.halves} random halves, by number of new images:\n")
    print("| new images changed by | " + " | ".join(map(str, COUNTS)) + " | columns that drifted |")
    print("|---|" + "---|" * (len(COUNTS) + 1))
    for change, table in facts.items():
        print(row(change, facts["nothing"], table, groups, args.halves), flush=True)


def row(change: str, known: Table, changed: Table, groups: Table, halves: int) -> str:
    """The alarms by number of new images; the columns are those of the largest number."""
    cells = []
    for count in COUNTS:
        generator = np.random.default_rng(0)
        drifted = [drift(known, changed, groups, count, generator) for _ in range(halves)]
        cells.append(f"{sum(map(bool, drifted))}")
    often = Counter(name for names in drifted for name in names)
    told = ", ".join(f"{name} {times}" for name, times in often.most_common())
    return f"| {change} | {' | '.join(cells)} | {told or 'none'} |"


def drift(
    known: Table, changed: Table, groups: Table, count: int, generator: np.random.Generator
) -> list[str]:
    """The columns that drift between one random half and images of the other, changed."""
    order = generator.permutation(groups.max() + 1)
    first = np.isin(groups, order[: len(order) // 2])
    new = changed[generator.permutation(np.flatnonzero(~first))[:count]]
    columns = {
        name: summarise(known[first, i].tolist(), groups[first].tolist())
        for i, name in enumerate(ImageStatistics.model_fields)
    }
    values = {name: new[:, i].tolist() for i, name in enumerate(ImageStatistics.model_fields)}
    shifts = compare(Profile(data="busi", columns=columns), values)
    return [shift.column for shift in shifts if shift.drifted]


def grouped(names: Sequence[str]) -> list[str]:
    """The group of each image, as ingest finds them."""
    records = manifest.build(BUSI)
    unique = {r.pixel_sha256: r.image for r in reversed(records)}.values()
    described = pool_map(lambda name: features.describe(read(name)), unique)
    alike = near_duplicates.search(dict(zip(unique, described, strict=True)), {}).pairs
    pairs = [*duplicates.find_copies(records), *duplicates.copy_to_identical_images(alike, records)]
    groups = duplicates.group(names, pairs)
    return [groups[name] for name in names]


def draw(count: int) -> list[Grey]:
    """At least so many phantoms of the quickstart's sides, the classes mixed."""
    each = -(-count // 3)
    params = Phantom(
        seed=1, benign=each, malignant=each, normal=each, copies=0, width=200, height=160
    )
    drawn = pool_map(lambda case: generate.render(case, params).image, generate.plan(params))
    return [drawn[i] for i in np.random.default_rng(0).permutation(len(drawn))]


def as_table(facts: Iterable[ImageStatistics]) -> Table:
    """ImageStatistics as rows."""
    return np.array([list(one.model_dump().values()) for one in facts])


def read(name: str) -> Grey:
    """One image of BUSI as grey."""
    return images.decode_grey((BUSI / name).read_bytes(), name)


def pool_map(work: Callable[..., object], items: Iterable[object]) -> list:
    """Several at once."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, items))


def _gamma(power: float) -> Callable[[Grey], Grey]:
    return lambda grey: np.rint(255 * (grey / 255) ** power).astype(np.uint8)


def _blurred(sigma: float) -> Callable[[Grey], Grey]:
    blur = ImageFilter.GaussianBlur(sigma)
    return lambda grey: np.asarray(Image.fromarray(grey).filter(blur))


def _scaled(factor: float) -> Callable[[Grey], Grey]:
    def alter(grey: Grey) -> Grey:
        size = (round(grey.shape[1] * factor), round(grey.shape[0] * factor))
        return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC))

    return alter


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    **{f"gamma {power}": _gamma(power) for power in (0.7, 0.85, 1.2, 1.4)},
    **{f"blur, sigma {sigma} px": _blurred(sigma) for sigma in (0.5, 1.0, 1.5)},
    **{f"scale {factor}": _scaled(factor) for factor in (0.7, 0.9, 1.1, 1.4)},
}


if __name__ == "__main__":
    main()
