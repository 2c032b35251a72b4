"""`hgmnet score`: evaluate another method's predictions with figures and intervals."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hgmnet.data.prepared import PreparedImage
    from hgmnet.metrics.bootstrap import Figure

DRAWS, SEED = 2000, 0


def add_score_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the predictions."""
    parser.add_argument(
        "--masks", type=Path, metavar="DIR", help="a mask per image: <stem>_mask.png or <stem>.png"
    )
    parser.add_argument(
        "--probabilities",
        type=Path,
        metavar="CSV",
        help="columns image and prob_<class>, as `hgmnet predict` writes them",
    )


def configure_score(parser: argparse.ArgumentParser) -> None:
    """Add the options of `score`: predictions, truth, output file."""
    add_score_options(parser)
    parser.add_argument(
        "--truth", type=Path, required=True, metavar="DIR", help="images in BUSI's layout"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write per_image.csv there")


def run_score(args: argparse.Namespace) -> None:
    """Print every figure with its interval; near-duplicates among the images are one group.

    Raises:
        InvalidDataError: an image has no prediction, or a file can't be read.
    """
    import pandas as pd

    from hgmnet.config.base import load_settings
    from hgmnet.data.atomic import write_table
    from hgmnet.data.file_names import printable
    from hgmnet.data.image_files import (
        PASSED_OVER,
        PassedOver,
        find_in,
        passed_over_text,
        write_passed_over,
    )
    from hgmnet.estimator.fit import RECIPE, FitSettings
    from hgmnet.evaluation import outside_predictions as outside
    from hgmnet.evaluation.figures import figures
    from hgmnet.evaluation.per_image import columns

    entries = _entries(args.truth)
    others = find_in(args.truth).others.items()
    passed = [PassedOver(printable(file), reason) for file, reason in others]
    if args.out:
        write_passed_over(args.out.with_name(PASSED_OVER), passed)
    if passed:
        more = args.out.with_name(PASSED_OVER) if args.out else "them with --out FILE"
        print(passed_over_text(passed, more))
    classes = sorted({entry.label for entry in entries})
    names = [entry.image for entry in entries]
    found = outside.find_outside_predictions(names, classes, args.masks, args.probabilities)
    model = outside.model_of(found, load_settings(RECIPE, FitSettings, "").model)
    rows = list(outside.outside_rows(args.truth, entries, found, model))
    print("\n".join(figure_lines(figures(pd.DataFrame(rows), classes, DRAWS, SEED, model=model))))
    if args.out:
        write_table(args.out, columns(classes), rows)
        print(f"\nper image: {args.out}")


def figure_lines(figures: "Mapping[str, Figure]") -> Sequence[str]:
    """Format every figure that could be computed: value, 95 % interval, images and groups."""
    from hgmnet.metrics.catalogue import metric

    rows = [("figure", "value", "95 % interval", "images / groups")]
    for name, one in figures.items():
        if one.value is not None:
            ends = "–" if one.low is None else f"{one.low:.3f} to {one.high:.3f}"
            rows.append((metric(name).title, f"{one.value:.3f}", ends, f"{one.n} / {one.groups}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]


def _entries(folder: Path) -> "list[PreparedImage]":
    from hgmnet.data.folder_layout import scan
    from hgmnet.data.reader import read_image
    from hgmnet.errors import InvalidDataError
    from hgmnet.estimator.fit import numbered

    samples = scan(folder)
    if wrong := next((sample for sample in samples if sample.error), None):
        raise InvalidDataError(f"{folder / wrong.image} {wrong.error}")
    decoded = [read_image(folder / sample.image) for sample in samples]
    entries = numbered(decoded, [sample.label for sample in samples], None, "test")
    return [
        entry.model_copy(update={"image": sample.image, "masks": "|".join(sample.masks)})
        for entry, sample in zip(entries, samples, strict=True)
    ]
