"""Trials of a training recipe on a pack (benchmarks/pack.py): cross-validated, or by seeds.

    python benchmarks/recipe.py PACK OUT fold 0 --name none --set model.gate=none
    python benchmarks/recipe.py PACK OUT seed 0
    python benchmarks/recipe.py JOINT-PACK OUT fold 0 --sets busi bus-bra
    python benchmarks/recipe.py PACK OUT test 0

`fold K` trains on the other folds of train and val and predicts fold K. `seed K` trains on train
with seed K and predicts val; `test K` predicts the test split as well: an opening. Each writes a
row an image, counts at native size, under OUT/<name>/, and is not repeated once it is there;
killed, it goes on from its last epoch. `benchmarks/trials.py OUT` shows them side by side. A
trial's class is the likeliest one and its mask the half-way one, so no threshold is chosen on the
images that are judged.
"""

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pack import Truth, open_pack
from ruamel.yaml import YAML

from hgmnet.config.params import Params, load_params
from hgmnet.data.prepared import PreparedDataset, PreparedImage
from hgmnet.evaluation.per_image import columns, image_row
from hgmnet.inference.postprocess import postprocess
from hgmnet.inference.tta import forward_tta
from hgmnet.models.serialization import save_model
from hgmnet.models.spec import Operating
from hgmnet.splitting.cross_validation import assign_folds, with_splits
from hgmnet.training.fit import Trained, fit, quiet_lightning

PLAIN = Operating(
    temperature=1.0, mask_threshold=0.5, min_area=0.0, malignant_threshold=1.0,
    normal_means_no_mask=False, mirror=True,
)  # fmt: skip
BATCH = 32
OTHER = "other"
"""Train and val images of sets that take no part: predicted, in a table of their own."""


def main() -> None:
    """Run what was asked for."""
    quiet_lightning()
    run(arguments())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("what", choices=["fold", "seed", "test"])
    parser.add_argument("number", type=int, help="of the fold or the seed")
    parser.add_argument("--name", default="base")
    parser.add_argument("--profile", type=Path, default=Path("params.yaml"))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--sets", nargs="*", default=[""], help="of a joint set: take part")
    parser.add_argument("--keep", action="store_true", help="write the model of the fold or seed")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.KEY=VALUE", dest="changes")
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    """Train one fold or seed and write what it predicts."""
    number, folder = args.number, args.out / args.name
    target = folder / f"{args.what}{number}.csv"
    if target.exists():
        print(f"{target} is there")
        return
    folder.mkdir(parents=True, exist_ok=True)
    params = changed(load_params(args.profile), args.changes)
    store, truth = open_pack(args.pack)
    if args.what == "fold":
        folds = folds_of_sets(store.entries, args.sets, args.folds, params.split.seed)
        splits = np.where(folds == number, "val", np.where(folds >= 0, "train", OTHER))
        splits[[entry.split == "test" for entry in store.entries]] = "test"
        store = with_splits(store, tuple(splits.tolist()))
    else:
        params = changed(params, [f"train.seed={number}"])
    splits = ("val", "test") if args.what == "test" else ("val",)
    if args.what == "test":
        note_opening(folder, args, store)
    start = time.perf_counter()
    trained = train(params, store, folder / f"{args.what}{number}")
    seconds = time.perf_counter() - start
    for file, judged in ((target.with_suffix(".other.csv"), (OTHER,)), (target, splits)):
        if rows := list(predict(trained, params, store, truth, judged)):
            pd.DataFrame(rows, columns=columns(params.data.classes)).to_csv(file, index=False)
    curves = pd.DataFrame([figures.model_dump() for figures in trained.curves])
    curves.to_csv(target.with_suffix(".curves.csv"), index=False)
    about = {
        "seconds": round(seconds), "changes": args.changes, "profile": str(args.profile),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(), "folds": args.folds,
    }  # fmt: skip
    target.with_suffix(".json").write_text(json.dumps(about, indent=1))
    if args.keep:
        save_model(folder / f"{args.what}{number}.model", trained.network, trained.spec)
    shutil.rmtree(folder / f"{args.what}{number}", ignore_errors=True)


def folds_of_sets(
    entries: Sequence[PreparedImage], sets: Sequence[str], folds: int, seed: int
) -> NDArray[np.int64]:
    """Assign the images of each set to folds as if it were alone, (N,) int64; -1 for the others."""
    assigned = np.full(len(entries), -1, dtype=np.int64)
    for one in sets:
        prefix = f"{one}_" if one else ""  # of names in a joint set, see `hgmnet join`
        rows = [i for i, e in enumerate(entries) if Path(e.image).name.startswith(prefix)]
        assigned[rows] = assign_folds([entries[i] for i in rows], folds, seed)
    return assigned


def changed(params: Params, changes: Sequence[str]) -> Params:
    """The settings with `section.key=value` put in, checked as params.yaml is."""
    tree = params.model_dump(by_alias=True)
    for change in changes:
        path, _, value = change.partition("=")
        *sections, key = path.split(".")
        place = tree
        for section in sections:
            place = place[section]
        place[key] = YAML(typ="safe", pure=True).load(value)
    return Params.model_validate(tree)


def train(params: Params, store: PreparedDataset, checkpoints: Path) -> Trained:
    """Train, or go on; an epoch a line."""
    text = params.model_dump_json(include={"model", "train", "prepare"})
    mark = hashlib.sha256(text.encode()).hexdigest()

    def tell(figures: object) -> None:
        print(" ".join(f"{k} {v:.3g}" for k, v in dict(figures).items()), flush=True)  # type: ignore[call-overload]

    return fit(
        store, data=params.data, prepare=params.prepare, model=params.model, train=params.train,
        root=Path.cwd(), fingerprint=mark, checkpoints=checkpoints / mark, on_epoch=tell,
    )  # fmt: skip


def predict(
    trained: Trained, params: Params, store: PreparedDataset, truth: Truth, splits: Sequence[str]
) -> Iterator[dict[str, str | int | float]]:
    """A row of per_image.csv for each image of the splits."""
    network = trained.network.to("cuda" if torch.cuda.is_available() else "cpu")
    rows = np.concatenate([store.rows(split) for split in splits])
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        raw = forward_tta(
            network, trained.spec, store.images[batch], mirror=params.calibrate.mirror
        )
        for i, row in enumerate(batch):
            entry: PreparedImage = store.entries[row]
            finding = postprocess(raw, i, (entry.height, entry.width), trained.spec, PLAIN)
            yield image_row(entry, finding, truth[entry.image], params.model)


def note_opening(folder: Path, args: argparse.Namespace, store: PreparedDataset) -> None:
    """Write down, before anything is computed, that the test split is looked at."""
    hashes = "".join(sorted(e.pixel_sha256 + e.label for e in store.entries if e.split == "test"))
    line = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"recipe.py test {args.number} --name {args.name}",
        "test_rows": hashlib.sha256(hashes.encode()).hexdigest(),
    }
    with (folder / "openings.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
