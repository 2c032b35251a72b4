"""Images that change at their source, or in the data set, and nobody takes notice."""

import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from hgmnet.data import manifest
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import HgmnetError
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.operations.import_dataset import import_dataset
from tests.run_here import must_run, run_here
from tests.source_files import as_csv

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 4


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A table of images with masks."""
    return draw(tmp_path / "source", lesion=20)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A checkout whose data set is called clinic; DVC is none of its business."""
    monkeypatch.setattr("pipelines.operations.import_dataset._dvc_add", lambda *_: None)
    root = tmp_path / "here"
    root.mkdir()
    (root / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((ROOT / "profiles/quickstart.yaml").read_text())
    params["data"]["name"] = "clinic"
    with (root / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    return Workspace(root, "clinic")


class Watch:
    """The flow data_watch on a table, of which `looks` counts how often it reads what is there."""

    def __init__(self, space: Workspace, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from pipelines.flows import data_watch  # imports Prefect, which takes seconds

        self.looks = 0
        self._space, self._table, self._flow = space, table, data_watch.data_watch
        monkeypatch.setattr(data_watch, "bring", self._bring)
        monkeypatch.setattr(data_watch, "stage", lambda *_, **__: Done)
        monkeypatch.setattr(data_watch, "compare", lambda *_, **__: "")

    def _bring(self, *_: object, **__: object) -> type["Done"]:
        self.looks += 1
        return Done

    def run(self) -> None:
        self._flow.fn(self._space.root, source=self._table, train=False)


class Done:
    """In place of a task's state."""

    @staticmethod
    def is_completed() -> bool:
        return True


@pytest.fixture
def watch(space: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """It has looked once."""
    made = Watch(space, source, monkeypatch)
    made.run()
    if made.looks != 1:
        raise RuntimeError("the flow read nothing")
    return made


def test_a_table_is_read_again_when_it_has_changed(watch: Watch, source: Path) -> None:
    watch.run()
    assert watch.looks == 1
    source.write_text(source.read_text().replace("benign", "malignant", 1))
    watch.run()
    assert watch.looks == 2


@pytest.mark.parametrize("name", ["0.png", "0_lesion.png"])
@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="images and masks that a table names may change, and data_watch finds it Unchanged",
)
def test_a_table_is_read_again_when_its_images_have_changed(
    watch: Watch, source: Path, name: str
) -> None:
    Image.new("L", (64, 64), 255).save(source.with_name(name))
    watch.run()
    assert watch.looks == 2


@pytest.fixture
def mended(tmp_path: Path) -> Path:
    """The same images with other masks."""
    return draw(tmp_path / "mended", lesion=30)


def test_a_stage_takes_what_was_imported_before(
    space: Workspace, source: Path, mended: Path
) -> None:
    must_run(space.root, "import", "clinic", str(source))
    must_run(space.root, "ingest")
    before = lesions(space)
    must_run(space.root, "import", "clinic", str(mended), "--replace")
    must_run(space.root, "ingest")
    assert before == [20 * 20] * IMAGES
    assert lesions(space) == [30 * 30] * IMAGES


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="images are replaced while a stage reads them, and it ends well: DVC then notes the "
    "new ones beside what was made of the old",
)
def test_images_are_not_replaced_under_a_stage(
    space: Workspace, source: Path, mended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import may be refused, or wait; or the stage reads again, or ends with an error."""
    must_run(space.root, "import", "clinic", str(source))
    other = threading.Thread(target=replace, args=(space.root, mended))
    build, waits = manifest.build, []

    def built(raw: Path) -> list[ImageRecord]:
        records = build(raw)
        if other.ident is None:
            other.start()
            other.join(10)  # one that waits for the stage's end goes on then
            waits.append(other.is_alive())
        return records

    monkeypatch.setattr(manifest, "build", built)
    stage = run_here(space.root, "ingest")
    read, there = lesions(space), [record.mask_pixels for record in build(space.raw)]
    if not waits:
        raise RuntimeError("the stage read no images")
    other.join()
    assert waits == [True] or stage.status != 0 or read == there


def replace(root: Path, table: Path) -> None:
    """`hgmnet import --replace`, in a thread, which can't be in a folder of its own."""
    with suppress(HgmnetError):  # refused
        import_dataset(root, "clinic", str(table), replace=True)


def draw(folder: Path, lesion: int) -> Path:
    """A table of images, each with a mask of a square lesion."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(IMAGES):
        image, mask = f"{number}.png", f"{number}_lesion.png"
        small = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
        small.resize((64, 64), Image.Resampling.BICUBIC).save(folder / image)
        pixels = np.zeros((64, 64), np.uint8)
        pixels[10 : 10 + lesion, 10 : 10 + lesion] = 255
        Image.fromarray(pixels).save(folder / mask)
        rows.append((image, "benign", mask))
    table = folder / "table.csv"
    table.write_bytes(as_csv(("image", "label", "mask"), rows))
    return table


def lesions(space: Workspace) -> list[int]:
    """What the manifest says of the masks."""
    return [record.mask_pixels for record in read_rows(space.manifest, ImageRecord)]
