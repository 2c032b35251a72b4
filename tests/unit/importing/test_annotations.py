"""COCO and nnU-Net, drawn by hand; `export-data` and back gives the same images, classes, masks."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hgmnet.config.data import Data, Fractions, Split
from hgmnet.data import manifest
from hgmnet.data.folder_layout import scan
from hgmnet.data.masks import read_mask
from hgmnet.errors import ConfigError
from hgmnet.importing import importer
from hgmnet.splitting.assignment import extend_split
from hgmnet.splitting.split_lock import SplitRow
from pipelines.artifacts.io import write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.operations.export_dataset import Format, export_dataset
from tests.run_here import run_here
from tests.source_files import Files, folder, refused
from tests.tiny_repository import QUICKSTART

DATA = Data(name="mine", classes=("normal", "benign", "malignant"))
SHAPE = (8, 10)
SQUARE = np.zeros(SHAPE, np.bool_)
SQUARE[2:5, 3:7] = True
POLYGON = [3.0, 2.0, 7.0, 2.0, 7.0, 5.0, 3.0, 5.0]
COUNTS = [3 * 8 + 2, 3, 5, 3, 5, 3, 5, 3, 3 * 8 + 3]
"""The square by columns."""


def png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def picture(seed: int) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 255, SHAPE, np.uint8))


def coco(*segmentations: Any, **changes: Any) -> dict[str, Any]:
    """A document of two images; the first has these annotations."""
    size = {"width": SHAPE[1], "height": SHAPE[0]}
    annotations = [
        {"id": n, "image_id": 7, "category_id": 3, "segmentation": one, "bbox": [3, 2, 4, 3]}
        for n, one in enumerate(segmentations)
    ]
    return {
        "info": {},
        "images": [{"id": 7, "file_name": "a.png"} | size, {"id": 8, "file_name": "b.png"} | size],
        "categories": [{"id": 3, "name": "Malignant"}, {"id": 4, "name": "benign"}],
        "annotations": annotations,
    } | changes


def coco_files(document: object, top: str = "") -> dict[str, bytes]:
    pictures = {f"{top}a.png": picture(1), f"{top}b.png": picture(2)}
    return pictures | {"annotations/instances.json": json.dumps(document).encode()}


RLE = {"size": list(SHAPE), "counts": COUNTS}


@pytest.mark.parametrize("shape", [[POLYGON], RLE])
@pytest.mark.parametrize("top", ["", "images/", "annotations/", "elsewhere/deep/"])
def test_coco_by_polygon_and_by_counts(shape: Any, top: str, raw: Path, tmp_path: Path) -> None:
    came = importer.lay_out(folder(tmp_path / "s", coco_files(coco(shape), top)), raw)
    assert (came.format, came.per_class, came.masks) == ("coco", {"malignant": 1, "normal": 1}, 1)
    assert came.left_out == ()
    np.testing.assert_array_equal(read_mask([raw / "malignant/a_mask.png"]), SQUARE)
    assert (raw / "normal/b.png").read_bytes() == picture(2)


def test_coco_unites_annotations_and_files(raw: Path, tmp_path: Path) -> None:
    part = [[0, 0, 2, 0, 2, 2, 0, 2]]
    files = coco_files(coco([POLYGON], part))
    other = {"id": 1, "file_name": "val/a.png", "width": SHAPE[1], "height": SHAPE[0]}
    files["val.json"] = json.dumps(coco(images=[other])).encode()
    came = importer.lay_out(folder(tmp_path / "s", files | {"val/a.png": picture(3)}), raw)
    assert came.per_class == {"malignant": 1, "normal": 2}
    assert read_mask([raw / "malignant/a_mask.png"]).sum() == SQUARE.sum() + 4
    assert (raw / "normal/val_a.png").read_bytes() == picture(3)


BROKEN = {
    "two classes": (
        coco([POLYGON])["annotations"]
        + [{"image_id": 7, "category_id": 4, "segmentation": [POLYGON]}],
        "annotations of benign and malignant; expected one class",
    ),
    "a box": ([{"image_id": 7, "category_id": 3}], r"a\.png has an annotation without a shape"),
    "a line": (coco([[1, 1, 2, 2]])["annotations"], "fewer than three points"),
    "far": (coco([[0, 0, 1e9, 0, 1e9, 1e9]])["annotations"], "leaves the image by far"),
    "more": (coco(RLE | {"counts": [0, 10**6]})["annotations"], "counts that do not add up"),
    "negative": (coco(RLE | {"counts": [-1, 81]})["annotations"], "counts that do not add up"),
    "size": (coco(RLE | {"size": [9, 9]})["annotations"], "a mask of 9 × 9, the image 10 × 8"),
    "text": (coco(RLE | {"counts": "1000o0o"})["annotations"], "can't be drawn"),
    "category": ([{"image_id": 7, "category_id": 9}], "has a category 9, which"),
    "kind": ([{"image_id": 7}], r"instances\.json is no COCO file: annotations\.0\.category_id"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_coco_that_can_t_be_drawn_is_refused_by_a_line(
    kind: str, raw: Path, tmp_path: Path
) -> None:
    annotations, message = BROKEN[kind]
    refused(folder(tmp_path / "s", coco_files(coco(annotations=annotations))), message, raw)


@pytest.mark.parametrize("side", [0, -8, 10**6])
def test_an_image_of_no_possible_size_is_refused(side: int, raw: Path, tmp_path: Path) -> None:
    image = {"id": 7, "file_name": "a.png", "width": side, "height": side}
    refused(folder(tmp_path / "s", coco_files(coco([POLYGON], images=[image]))), "json.*", raw)


def test_an_image_that_coco_names_and_is_not_there(raw: Path, tmp_path: Path) -> None:
    files = coco_files(coco([POLYGON]))
    del files["b.png"]
    refused(folder(tmp_path / "s", files), r"b\.png is missing", raw)


def nnunet(labels: object, masks: Files, **changes: object) -> dict[str, bytes]:
    document = {"channel_names": {"0": "us"}, "labels": labels, "file_ending": ".png"} | changes
    scans = {
        mask.replace("labels", "images").replace(".png", "_0000.png"): picture(n)
        for n, mask in enumerate(masks)
    }
    files = {f"Dataset001/{name}": data for name, data in (scans | dict(masks)).items()}
    return files | {"Dataset001/dataset.json": json.dumps(document).encode()}


LABELS = {"background": 0, "benign": 1, "malignant": 2}
MASKS = {
    "labelsTr/x1.png": png(SQUARE.astype(np.uint8)),
    "labelsTr/x2.png": png(SQUARE.astype(np.uint8) * 2),
    "labelsTs/x3.png": png(np.zeros(SHAPE, np.uint8)),
}


@pytest.mark.parametrize("labels", [LABELS, {str(v): name for name, v in LABELS.items()}])
def test_nnunet_by_its_labels(labels: object, raw: Path, tmp_path: Path) -> None:
    files = nnunet(labels, MASKS) | {"Dataset001/imagesTs/x4_0000.png": picture(9)}
    came = importer.lay_out(folder(tmp_path / "s", files), raw)
    assert (came.format, came.masks) == ("nnunet", 3)
    assert came.per_class == {"benign": 1, "malignant": 1, "normal": 1}
    assert [one.file for one in came.left_out] == ["Dataset001/imagesTs/x4_0000.png"]
    for name in ("benign/x1", "malignant/x2"):
        np.testing.assert_array_equal(read_mask([raw / f"{name}_mask.png"]), SQUARE)
    assert not read_mask([raw / "normal/x3_mask.png"]).any()


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        ({"background": 0, "benign": 1}, {}, r"x2\.png has the label 2, which dataset\.json"),
        ({"background": 0, "all": [1, 2]}, {}, "regions as labels"),
        ([], {}, "has no labels"),
        (LABELS, {"file_ending": ".nii.gz"}, r"files that end in \.nii\.gz; expected"),
        (LABELS, {"channel_names": {"0": "a", "1": "b"}}, "has the channels .*expected one"),
        (LABELS, {"channel_names": 5}, "has the channels 5"),
    ],
)
def test_nnunet_that_is_no_set_of_scans_is_refused(
    labels: object, changes: Any, message: str, raw: Path, tmp_path: Path
) -> None:
    refused(folder(tmp_path / "s", nnunet(labels, MASKS, **changes)), message, raw)


def test_a_label_image_of_two_classes_is_refused(raw: Path, tmp_path: Path) -> None:
    both = {"labelsTr/x.png": png(SQUARE + np.eye(*SHAPE, dtype=np.uint8) * 2 % 3)}
    refused(folder(tmp_path / "s", nnunet(LABELS | {"x": 3}, both)), "expected one class", raw)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """Twelve images with a split: one has two masks, one is excluded, a normal has no mask."""
    space = Workspace(tmp_path / "repository", DATA.name)
    for number, label in enumerate(DATA.classes * 4):
        name = f"{label}/{label} ({number})"
        masks = [f"{name}_mask.png", f"{name}_mask_1.png"][: 2 if number == 1 else 1]
        lesion = np.roll(SQUARE, number % 3, 1) if label != "normal" else SQUARE & False
        files = {f"{name}.png": picture(number)}
        files |= {m: png(np.roll(lesion, at, 0)) for at, m in enumerate(masks)}
        folder(space.raw, {k: v for k, v in files.items() if "normal (0)_mask" not in k})
    records = manifest.build(space.raw)
    records[0] = records[0].model_copy(update={"excluded": "calipers"})
    fractions = Fractions(train=0.5, val=0.25, test=0.25)
    params = Split(seed=0, fractions=fractions, conflicts="exclude", max_lost=1)
    write_rows(space.manifest, type(records[0]), records)
    write_rows(space.split_csv, SplitRow, extend_split([], records, [], params))
    return space


def content(raw: Path) -> dict[tuple[str, bytes], bytes]:
    """By class and pixels: the lesion."""
    found = {}
    for sample in scan(raw):
        grey = np.asarray(Image.open(raw / sample.image))
        lesion = read_mask([raw / m for m in sample.masks]) if sample.masks else grey > 255
        found[sample.label, grey.tobytes()] = lesion.tobytes()
    return found


@pytest.mark.parametrize("form", ["nnunet", "coco"])
def test_an_export_is_imported_as_it_was(form: Format, space: Workspace, tmp_path: Path) -> None:
    counts = export_dataset(space, DATA, form, tmp_path / "out")
    raw = tmp_path / "again" / "raw"
    came = importer.lay_out(tmp_path / "out", raw)
    assert (came.format, sum(came.per_class.values()), sum(counts.values())) == (form, 11, 11)
    before = content(space.raw)
    assert content(raw).items() <= before.items()
    with pytest.raises(ConfigError, match="is there already"):
        export_dataset(space, DATA, form, tmp_path / "out")
    assert [path.name for path in tmp_path.glob("out*")] == ["out"]


def test_the_split_is_kept(space: Workspace, tmp_path: Path) -> None:
    counts = export_dataset(space, DATA, "nnunet", tmp_path / "n")
    assert export_dataset(space, DATA, "coco", tmp_path / "c") == counts
    (division,) = json.loads((tmp_path / "n/splits_final.json").read_text())
    document = json.loads((tmp_path / "n/dataset.json").read_text())
    assert {side: len(cases) for side, cases in division.items()} == {
        "train": counts["train"], "val": counts["val"]
    }  # fmt: skip
    assert document["numTraining"] == counts["train"] + counts["val"]
    assert len(list((tmp_path / "n/imagesTs").iterdir())) == counts["test"]
    assert document["labels"] == {"background": 0, "benign": 1, "malignant": 2}
    for side, count in counts.items():
        written = json.loads((tmp_path / f"c/annotations/instances_{side}.json").read_text())
        assert len(written["images"]) == count
        per_image = Counter(one["image_id"] for one in written["annotations"])
        assert all(
            "normal" not in i["file_name"] for i in written["images"] if i["id"] in per_image
        )


def test_the_command_exports_the_data_set_of_params(space: Workspace, tmp_path: Path) -> None:
    params = QUICKSTART.read_text().replace("name: phantom", f"name: {DATA.name}", 1)
    (space.root / "params.yaml").write_text(params)
    (space.root / "dvc.yaml").touch()
    ended = run_here(space.root, "export-data", "--format", "coco", str(tmp_path / "out"))
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("mine: train ")
    assert (
        run_here(space.root, "export-data", "--format", "coco", str(tmp_path / "out")).status == 2
    )
