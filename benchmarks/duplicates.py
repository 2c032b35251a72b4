"""How many copies are found, how many different images are merged: `benchmarks/duplicates.py`.

    python benchmarks/duplicates.py [--copied 40] [--different 780] [--sizes 100 200 400 780]

Copies are planted by each change at several strengths, of phantoms and, where it is there, of BUSI
(BUSI=<Dataset_BUSI_with_GT>, else ../shared/busi). A copy counts as found where its original is in
its group, and as told where the pair is of kind `copy`. Prints Markdown.
"""

import argparse
import io
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hgmnet.config.data import Phantom
from hgmnet.data import folder_layout, images, manifest
from hgmnet.data.images import Grey
from hgmnet.phantom import generate
from hgmnet.splitting import candidates, features, near_duplicates
from hgmnet.splitting import pairs as duplicates
from hgmnet.splitting.features import Features

ROOT = Path(__file__).resolve().parents[1]
BUSI = Path(os.environ.get("BUSI", ROOT.parent / "shared/busi/Dataset_BUSI_with_GT"))
MIB = 2**20


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copied", type=int, default=40, help="originals to copy")
    parser.add_argument("--different", type=int, default=780, help="phantoms that must not merge")
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 200, 400, 780])
    parser.add_argument("--hashes", type=int, default=100_000)
    args = parser.parse_args()
    phantoms = draw(max(args.copied, args.different, *args.sizes, 1))
    recall("phantoms", phantoms[: args.copied])
    if BUSI.is_dir():
        recall("BUSI", [read(BUSI / sample.image) for sample in spread(args.copied)])
    curve(phantoms, [*args.sizes, args.different])
    hashes(args.hashes)
    if BUSI.is_dir():
        real()


def draw(count: int) -> list[Grey]:
    """Different phantoms, the classes mixed as in the quickstart."""
    params = Phantom(
        seed=1, benign=count, malignant=count, normal=count, copies=0, width=200, height=160
    )
    cases = generate.plan(params)
    turns = [cases[(index % 3) * count + index // 3] for index in range(count)]
    return [generate.render(case, params).image for case in turns]


def spread(count: int) -> list[folder_layout.Sample]:
    """BUSI images at equal steps through all of them."""
    samples = folder_layout.scan(BUSI)
    return samples[:: max(1, len(samples) // count)][:count]


def read(path: Path) -> Grey:
    """One image as grey."""
    return images.decode_grey(path.read_bytes(), path.name)


def recall(name: str, originals: Sequence[Grey]) -> None:
    """Plant copies by each change and look for them."""
    originals = unlike(originals)
    print(f"\n| change to {len(originals)} {name} | found | told as copy | strangers merged |")
    print("|---|---|---|---|")
    known = {f"o{index:04}": one for index, one in enumerate(described(originals))}
    for change, alter in CHANGES.items():
        copies = described([alter(original) for original in originals])
        planted = {f"p{index:04}": copy for index, copy in enumerate(copies)}
        pairs = near_duplicates.search(known | planted, {}).pairs
        groups = duplicates.group(known | planted, pairs)
        found = sum(groups[f"o{i:04}"] == groups[f"p{i:04}"] for i in range(len(originals)))
        own = [pair for pair in pairs if pair.first[1:] == pair.second[1:]]
        told = sum(pair.kind == "copy" for pair in own)
        shares = " | ".join(f"{count / len(originals):.1%}" for count in (found, told))
        print(f"| {change} | {shares} | {len(pairs) - len(own)} |", flush=True)


def unlike(originals: Sequence[Grey]) -> list[Grey]:
    """Those of which no earlier one is a copy or a frame of the same scene: BUSI holds some."""
    known = {f"{index:04}": one for index, one in enumerate(described(originals))}
    alike = {pair.second for pair in near_duplicates.search(known, {}).pairs}
    return [one for index, one in enumerate(originals) if f"{index:04}" not in alike]


def curve(phantoms: Sequence[Grey], sizes: Sequence[int]) -> None:
    """Time over n, and pairs found among images that are all different."""
    print(
        "\n| different phantoms | features, s | search, s | pairs (all false) |\n|---|---|---|---|"
    )
    for size in sorted(set(sizes)):
        start = time.perf_counter()
        known = {f"{i:05}": one for i, one in enumerate(described(phantoms[:size]))}
        middle = time.perf_counter()
        pairs = near_duplicates.search(known, {}).pairs
        end = time.perf_counter()
        print(f"| {size} | {middle - start:.1f} | {end - middle:.1f} | {len(pairs)} |", flush=True)


def hashes(count: int) -> None:
    """The hash sieve alone, on random hashes with every tenth a near copy of the one before."""
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 256, (count, 8), dtype=np.uint8)
    stored[1::10] = stored[0::10] ^ (np.arange(8) < 3).astype(np.uint8)
    start = time.perf_counter()
    found = sum(first < second for first, second in candidates.near_hashes(stored, stored))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    print(f"\n{count} hashes: {found} pairs, {seconds:.1f} s, process peak {peak:.0f} MiB")


def real() -> None:
    """Counts on BUSI itself."""
    start = time.perf_counter()
    records = manifest.build(BUSI)
    ready = time.perf_counter()
    unique = list({r.pixel_sha256: r.image for r in reversed(records) if r.pixel_sha256}.values())
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda image: features.describe(read(BUSI / image)), unique)
        known = dict(zip(unique, found, strict=True))
    middle = time.perf_counter()
    alike = duplicates.copy_to_identical_images(near_duplicates.search(known, {}).pairs, records)
    pairs = [*duplicates.find_copies(records), *alike]
    end = time.perf_counter()
    kinds = Counter(pair.kind for pair in pairs)
    sizes = Counter(duplicates.group((r.image for r in records), pairs).values())
    print("\n| BUSI | |\n|---|---|")
    rows = {
        "images": len(records),
        "manifest, s": f"{ready - start:.1f}",
        "features, s": f"{middle - ready:.1f}",
        "search, s": f"{end - middle:.1f}",
        "copies": kinds["copy"],
        "of them of the same pixels": sum(pair.transform == "identity" for pair in pairs),
        "scenes": kinds["scene"],
        "groups": len(sizes),
        "groups of several images": sum(size > 1 for size in sizes.values()),
        "images in these": sum(size for size in sizes.values() if size > 1),
        "images with a label conflict": len(duplicates.conflicts(records, pairs)),
    }
    for name, value in rows.items():
        print(f"| {name} | {value} |")


def described(greys: Sequence[Grey]) -> list[Features]:
    """Features, several at once."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(features.describe, greys))


def _scaled(factor: float) -> Callable[[Grey], Grey]:
    def alter(grey: Grey) -> Grey:
        size = (round(grey.shape[1] * factor), round(grey.shape[0] * factor))
        return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC))

    return alter


def _shifted(share: float) -> Callable[[Grey], Grey]:
    def alter(grey: Grey) -> Grey:
        rows, columns = (round(side * share) for side in grey.shape)
        moved = np.zeros_like(grey)
        moved[rows:, columns:] = grey[: grey.shape[0] - rows, : grey.shape[1] - columns]
        return moved

    return alter


def _cropped(share: float) -> Callable[[Grey], Grey]:
    def alter(grey: Grey) -> Grey:
        rows, columns = (round(side * share) for side in grey.shape)
        return grey[rows : grey.shape[0] - rows, columns : grey.shape[1] - columns]

    return alter


def _gamma(power: float) -> Callable[[Grey], Grey]:
    return lambda grey: np.rint(255 * (grey / 255) ** power).astype(np.uint8)


def _jpeg(quality: int) -> Callable[[Grey], Grey]:
    def alter(grey: Grey) -> Grey:
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return alter


def _annotated(lines: int) -> Callable[[Grey], Grey]:
    """Lines of text at the bottom, as many pairs of calipers in the middle."""

    def alter(grey: Grey) -> Grey:
        image = Image.fromarray(grey)
        draw, (width, height) = ImageDraw.Draw(image), image.size
        font = ImageFont.load_default(size=max(10, height // 15))
        for line in range(lines):
            draw.text((width * 0.1, height * (0.9 - 0.1 * line)), "RT BREAST 10", 255, font)
            for x, y in _caliper_ends(width, height, line):
                draw.line([(x - 4, y), (x + 4, y)], 255)
                draw.line([(x, y - 4), (x, y + 4)], 255)
        return np.asarray(image)

    return alter


def _caliper_ends(width: int, height: int, turn: int) -> Iterator[tuple[int, int]]:
    for side in (-1, 1):
        yield width // 2 + side * width // (5 + turn), height // 2 - 10 * turn
        yield width // 2 - 10 * turn, height // 2 + side * height // (5 + turn)


def _all_at_once(grey: Grey) -> Grey:
    return _jpeg(40)(_gamma(0.7)(_scaled(0.7)(_annotated(1)(_cropped(0.05)(grey)))))


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    **{f"scale {factor}": _scaled(factor) for factor in (0.7, 0.85, 1.2, 1.4)},
    **{f"shift {share:.0%} down and right": _shifted(share) for share in (0.05, 0.1)},
    **{f"crop {share:.0%} off each side": _cropped(share) for share in (0.05, 0.1)},
    **{f"gamma {power}": _gamma(power) for power in (0.7, 1.4)},
    **{f"JPEG {quality}": _jpeg(quality) for quality in (70, 40)},
    **{f"{lines} lines of text, calipers": _annotated(lines) for lines in (1, 2)},
    "mirror": lambda grey: np.ascontiguousarray(grey[:, ::-1]),
    "crop 5 %, text, scale 0.7, gamma 0.7, JPEG 40": _all_at_once,
}


if __name__ == "__main__":
    main()
