"""Images that change at their source, or in the data set, and nobody takes notice."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from hgmnet.data import manifest
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import ConfigError, HgmnetError
from hgmnet.importing import importer
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.operations.import_dataset import import_dataset
from tests.run_here import must_run, run_here
from tests.source_files import as_csv, as_xlsx

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
def test_a_table_is_read_again_when_its_images_have_changed(
    watch: Watch, source: Path, name: str
) -> None:
    Image.new("L", (64, 64), 255).save(source.with_name(name))
    watch.run()
    assert watch.looks == 2


@pytest.mark.parametrize("kind", ["folder", "csv", "xlsx"])
def test_a_mask_replaced_by_one_of_the_same_size_and_time_is_noticed(
    space: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As a copy to a network drive, which keeps the time; BMP and DICOM keep the size."""
    if kind == "xlsx":
        cells = [line.split(",") for line in source.read_text().split()]
        source.with_suffix(".xlsx").write_bytes(as_xlsx(cells[0], cells[1:]))
    watched = source.parent if kind == "folder" else source.with_suffix(f".{kind}")
    watch, mask = Watch(space, watched, monkeypatch), source.with_name("0_lesion.png")
    watch.run()
    before = mask.stat()
    mask.write_bytes(bytes(before.st_size))
    os.utime(mask, ns=(before.st_atime_ns, before.st_mtime_ns))
    watch.run()
    assert watch.looks == 2


def test_a_file_name_in_latin_1_does_not_end_data_watch(
    space: Workspace, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        (source.parent / os.fsdecode(b"gr\xfcn.txt")).write_text("notes")
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    watch = Watch(space, source.parent, monkeypatch)
    watch.run()
    watch.run()
    assert watch.looks == 1


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


def edit_list(space: Workspace) -> None:
    space.curation.write_text("image,group,exclude,reason\nbenign/0.png,,true,blurred\n")


def overwrite_mask(space: Workspace) -> None:
    Image.new("L", (64, 64)).save(space.raw / "benign/0_mask.png")


def add_image(space: Workspace) -> None:
    Image.effect_noise((64, 64), 50).save(space.raw / "benign/new.png")


@pytest.mark.parametrize("change", [edit_list, overwrite_mask, add_image])
def test_what_changes_under_a_stage_is_an_error_of_the_stage(
    space: Workspace,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Workspace], None],
) -> None:
    """By hand, without our commands; ingest has read its list and images already."""
    from pipelines.artifacts import io

    must_run(space.root, "import", "clinic", str(source))
    write = io.write_rows

    def written(path: Path, kind: type, rows: object) -> None:
        if path == space.groups:
            change(space)
        write(path, kind, rows)

    monkeypatch.setattr(io, "write_rows", written)
    ended = run_here(space.root, "ingest")
    assert ended.status == 2
    named = "curation.csv" if change is edit_list else "data/clinic/raw"
    assert f"{named} changed while ingest ran" in ended.err


@pytest.fixture
def reading(space: Workspace, source: Path) -> Iterator[Workspace]:
    """A data set that a stage reads, in a real `dvc repro`."""
    importer.lay_out(source, space.raw)
    stages = "stages:\n  reads:\n    cmd: sleep 600\n    deps: [data/clinic/raw]\n"
    (space.root / "dvc.yaml").write_text(stages)
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], cwd=space.root, check=True)
    noted = space.root / ".dvc/tmp/rwlock"
    with subprocess.Popen([*dvc, "repro", "reads"], cwd=space.root, start_new_session=True) as one:
        while not noted.exists() or "clinic" not in noted.read_text():
            if one.poll() is not None:
                raise RuntimeError("dvc repro has ended")
            time.sleep(0.05)
        yield space
        os.killpg(one.pid, 9)


def states(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What distinguishes a file from another in its place; reading changes the time of access."""
    found = {file: file.stat() for file in folder.rglob("*")}
    return {file: (one.st_ino, one.st_size, one.st_mtime_ns) for file, one in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["import", "resplit"])
def test_dvcs_lock_is_taken_first(
    reading: Workspace, source: Path, mended: Path, command: str
) -> None:
    """A stage that does not check its inputs, or that began before they were replaced."""
    before = states(reading.raw)
    words = ["clinic", str(mended), "--replace"] if command == "import" else ["--reason", "x"]
    ended = run_here(reading.root, command, *words)
    assert ended.status == 2
    assert "raw is in use by `" in ended.err
    assert states(reading.raw) == before


def test_two_imports_of_one_name_are_one_after_the_other(
    space: Workspace, source: Path, mended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out, refused = importer.lay_out, list[str]()

    def laid_out(*words: object, **more: object) -> object:
        if not refused:
            refused.append("")
            with suppress(ConfigError):
                import_dataset(space.root, "clinic", str(mended))
                refused.append("it was imported too")
        return lay_out(*words, **more)

    monkeypatch.setattr(importer, "lay_out", laid_out)
    import_dataset(space.root, "clinic", str(source))
    assert refused == [""]


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
        rows.append((image, "malignant" if number else "benign", mask))
    table = folder / "table.csv"
    table.write_bytes(as_csv(("image", "label", "mask"), rows))
    return table


def lesions(space: Workspace) -> list[int]:
    """What the manifest says of the masks."""
    return [record.mask_pixels for record in read_rows(space.manifest, ImageRecord)]
