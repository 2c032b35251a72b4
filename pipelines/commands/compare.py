"""Command `report --compare`: two evaluations of the same images side by side."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from hgmnet.config import Params


def run(root: Path, args: argparse.Namespace) -> None:
    """Write reports/compare/index.html and print a short table.

    Raises:
        ConfigError: a side can't be found, or the two were not evaluated on the same images.
        InvalidDataError: a side's rows are damaged.
    """
    from hgmnet.config import load_params
    from pipelines.comparison.contest import contest
    from pipelines.comparison.page import render, short
    from pipelines.comparison.sides import pair
    from pipelines.files import write_text
    from pipelines.workspace import Workspace

    params = load_params(root / "params.yaml")
    (first, ours), (second, theirs) = (_side(root, params, word) for word in args.compare)
    names = (first, second) if first != second else (f"{first} (1)", f"{second} (2)")
    found = contest(pair(ours, theirs, names), params.model, params.evaluate)
    page = Workspace(root, params.data.name).comparison
    write_text(page, render(found, names, params.data.name))
    print(f"{short(found, names)}\nreport: {page.relative_to(root)}")


def _side(root: Path, params: "Params", word: str) -> "tuple[str, pd.DataFrame]":
    """A side's name and rows: of a file, of a folder, or of a registered version."""
    from pipelines.comparison.sides import find_file, read_rows

    file = find_file(Path(word))
    if file:
        return word.rstrip("/"), read_rows(file)
    from pipelines.registry.evaluated import fetch_rows
    from pipelines.registry.store import open_store_patiently

    store = open_store_patiently(root, params.data.name)
    with tempfile.TemporaryDirectory(prefix="hgmnet-") as folder:
        number, path = fetch_rows(store, params.registry.name, word, Path(folder))
        return f"version {number}", read_rows(path)
