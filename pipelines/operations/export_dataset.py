"""Write a data set for other tools, by its locked split: nnU-Net's raw layout, or COCO."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from hgmnet.config.base import NORMAL
from hgmnet.config.data import Data
from hgmnet.data import images
from hgmnet.data.atomic import atomic, write_table, write_text
from hgmnet.data.image_record import ImageRecord
from hgmnet.data.masks import read_mask
from hgmnet.errors import ConfigError
from hgmnet.splitting.split_lock import SIDES, ActiveImage, SplitRow, active_images
from pipelines.artifacts.io import read_rows, write_json
from pipelines.artifacts.paths import Workspace

Format = Literal["nnunet", "coco"]


def export_dataset(space: Workspace, data: Data, form: Format, out: Path) -> dict[str, int]:
    """Write the images that are in a split, with their masks, into a new folder.

    `nnunet`: train and val as imagesTr and labelsTr, with their division in splits_final.json; test
    as imagesTs and labelsTs; a mask has the number of its class. `coco`: images/ and one JSON per
    split, with one annotation per mask as RLE. cases.csv names the image of each file.

    Returns:
        The number of images of each split.

    Raises:
        ConfigError: `out` is there already, or a class is not in data.classes.
        InvalidDataError: there is no split yet, or an image can't be read.
    """
    rows = read_rows(space.split_csv, SplitRow)
    active = active_images(rows, read_rows(space.manifest, ImageRecord))
    if strange := sorted({one.record.label for one in active} - set(data.classes)):
        raise ConfigError(f"{space.data} has {', '.join(strange)}, not in data.classes")
    if out.exists():
        raise ConfigError(f"{out} is there already; name a new folder")
    values = {name: at for at, name in enumerate([c for c in data.classes if c != NORMAL], 1)}
    write: Mapping[Format, Callable[..., None]] = {"nnunet": _write_nnunet, "coco": _write_coco}
    with atomic(out) as part:
        part.mkdir()
        write[form](part, space, active, values)
    return dict(Counter(one.row.status for one in active))


def _write_nnunet(
    out: Path, space: Workspace, active: Sequence[ActiveImage], values: Mapping[str, int]
) -> None:
    cases = _cases(active)
    for one, case in zip(active, cases, strict=True):
        record, subset = one.record, "Ts" if one.row.status == "test" else "Tr"
        grey = images.read_grey(space.raw, record.image)
        truth = np.zeros(grey.shape, np.uint8)
        if record.masks and record.label in values:
            truth[read_mask([space.raw / mask for mask in record.masks])] = values[record.label]
        for folder, name, pixels in (("images", f"{case}_0000", grey), ("labels", case, truth)):
            (out / f"{folder}{subset}").mkdir(exist_ok=True)
            png = images.png_file(Image.fromarray(pixels))
            (out / f"{folder}{subset}" / f"{name}.png").write_bytes(png)
    sides = [one.row.status for one in active]
    by_side = {s: [c for c, side in zip(cases, sides, strict=True) if side == s] for s in SIDES}
    write_json(
        out / "dataset.json",
        {
            "name": space.data,
            "channel_names": {"0": "ultrasound"},
            "labels": {"background": 0, **values},
            "numTraining": len(by_side["train"]) + len(by_side["val"]),
            "file_ending": ".png",
            "overwrite_image_reader_writer": "NaturalImage2DIO",
        },
    )
    division = [{side: by_side[side] for side in ("train", "val")}]
    write_text(out / "splits_final.json", json.dumps(division, indent=2) + "\n")
    _write_cases(out, active, cases)


def _write_coco(
    out: Path, space: Workspace, active: Sequence[ActiveImage], values: Mapping[str, int]
) -> None:
    documents: dict[str, dict[str, Any]] = {
        side: {
            "info": {"description": f"{space.data}, {side}"},
            "categories": [{"id": at, "name": name} for name, at in values.items()],
            "images": [],
            "annotations": [],
        }
        for side in SIDES
    }
    for number, one in enumerate(active, 1):
        record, document = one.record, documents[one.row.status]
        target = out / "images" / record.image
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(images.read_file(space.raw / record.image))
        size = {"width": record.width, "height": record.height}
        document["images"].append({"id": number, "file_name": record.image, **size})
        for mask in record.masks if record.label in values else ():
            facts = {"image_id": number, "category_id": values[record.label], "iscrowd": 0}
            if (lesion := read_mask([space.raw / mask])).any():
                facts |= {"id": sum(len(d["annotations"]) for d in documents.values()) + 1}
                document["annotations"].append(facts | _rle(lesion))
    for side, document in documents.items():
        write_json(out / "annotations" / f"instances_{side}.json", document)
    _write_cases(out, active, [one.record.image for one in active])


def _rle(lesion: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as coco

    packed = coco.encode(np.asfortranarray(lesion, np.uint8))
    return {
        "segmentation": {"size": list(lesion.shape), "counts": packed["counts"].decode("ascii")},
        "area": int(coco.area(packed)),
        "bbox": [float(side) for side in coco.toBbox(packed)],
    }


def _cases(active: Sequence[ActiveImage]) -> list[str]:
    """Names of plain letters and digits: `benign/benign (1).png` becomes `benign_benign_1`."""
    cases: dict[str, None] = {}
    for one in active:
        case = re.sub(r"[^A-Za-z0-9]+", "_", one.record.image.rpartition(".")[0]).strip("_")
        cases[f"{case}_{len(cases)}" if case in cases else case] = None
    return list(cases)


def _write_cases(out: Path, active: Sequence[ActiveImage], cases: Sequence[str]) -> None:
    columns = ("case", "original", "class", "split", "source_name")
    rows = (
        (case, one.record.image, one.record.label, one.row.status, one.record.source_name)
        for one, case in zip(active, cases, strict=True)
    )
    write_table(out / "cases.csv", columns, (dict(zip(columns, r, strict=True)) for r in rows))
