"""`hgmnet join`: several data sets become one, and no image changes its split."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hgmnet.config.data import Fractions, Split
from hgmnet.data import manifest, metadata
from hgmnet.data.folder_layout import scan
from hgmnet.data.metadata import ImageMetadata
from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError
from hgmnet.splitting.assignment import extend_split
from hgmnet.splitting.split_lock import Lock, SplitRow, active_images, new_lock, verify
from pipelines.artifacts.io import read_json, read_rows, write_json, write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.operations.join_datasets import join_datasets
from tests.run_here import run_here
from tests.source_files import encoded

SPLIT = Split(
    seed=0, fractions=Fractions(train=0.5, val=0.25, test=0.25), conflicts="train", max_lost=0.1
)
COUNTS = {"a": {"benign": 8, "malignant": 8}, "b": {"malignant": 8, "normal": 8}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with the sets `a` and `b`, each with a locked split; `b` knows patients."""
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True
    )
    (tmp_path / "dvc.yaml").touch()
    for start, (name, counts) in enumerate(COUNTS.items()):
        space = Workspace(tmp_path, name)
        for number, label in enumerate(counts):
            (space.raw / label).mkdir(parents=True)
            for i in range(counts[label]):
                seed = 1 + 100 * start + 50 * number + i
                (space.raw / label / f"{i}.png").write_bytes(encoded(seed))
                (space.raw / label / f"{i}_mask.png").write_bytes(encoded(seed))
        images = [sample.image for sample in scan(space.raw)]
        if name == "b":
            entries = [
                ImageMetadata(
                    image=i, patient=f"p{n // 2}", pixel_mm=0.1, further={"clip": f"c{n // 4}"}
                )
                for n, i in enumerate(images)
            ]
            metadata.write(space.raw, entries)
        space.curation.write_text(f"image,group,exclude,reason\n{images[0]},,true,blurred\n")
        rows = extend_split([], records(space), [], SPLIT)
        write_rows(space.split_csv, SplitRow, rows)
        active = sum(row.status != "excluded" for row in rows)
        write_json(space.split_json, new_lock(rows, SPLIT, None, "first assignment", active))
    return tmp_path


def test_every_image_keeps_its_split_class_masks_and_metadata(root: Path) -> None:
    ended = run_here(root, "join", "both", "a", "b")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("a: 16 images\nb: 16 images\n")
    assert (root / "data/both/raw.dvc").exists()
    both = Workspace(root, "both")
    samples = {sample.image: sample for sample in scan(both.raw)}
    known = metadata.read(both.raw, samples)
    for name in COUNTS:
        space = Workspace(root, name)
        for sample in scan(space.raw):
            joined = samples[f"{sample.label}/{name}_{Path(sample.image).name}"]
            assert [(both.raw / m).read_bytes() for m in joined.masks] == [
                (space.raw / m).read_bytes() for m in sample.masks
            ]
            assert known[joined.image].further["set"] == name
    assert known["normal/b_0.png"].patient.startswith("b/p")
    assert known["normal/b_0.png"].pixel_mm == 0.1
    assert known["normal/b_0.png"].further["clip"].startswith("b/c")
    assert known["benign/a_0.png"].patient == ""
    assert splits(both) == {
        f"{name}_{image}": split
        for name in COUNTS
        for image, split in splits(Workspace(root, name)).items()
    }
    notes = metadata.read_notes(both.curation, samples)
    assert [(n.image, n.reason) for n in notes] == [
        ("benign/a_0.png", "blurred"), ("malignant/b_0.png", "blurred")
    ]  # fmt: skip


def test_a_killed_join_is_repeated_and_a_finished_one_refused(root: Path) -> None:
    both = Workspace(root, "both")
    both.folder.mkdir()
    both.split_json.write_text("{")
    (both.folder / ".raw.1.part").mkdir()
    join_datasets(root, "both", ["a", "b"])
    assert not (both.folder / ".raw.1.part").exists()
    with pytest.raises(InvalidDataError, match="is there already; join under another name"):
        join_datasets(root, "both", ["a", "b"])


def test_images_without_a_split_or_without_the_others_join_nothing(root: Path) -> None:
    b = Workspace(root, "b")
    (b.raw / "normal/new.png").write_bytes(encoded(255))
    refused(root, r"1 images of b have no split, as normal/new; first: hgmnet init b")
    (b.raw / "normal/new.png").unlink()
    for image in b.raw.glob("normal/*.png"):
        image.rename(root / image.name)
    refused(root, "data/b/raw has 8 of the 16 images of its split; restore it: dvc checkout")
    b.split_json.unlink()
    refused(root, "b has no split yet; first: hgmnet init b && dvc repro split")


def test_joint_sets_and_names_that_could_meet_are_refused(root: Path) -> None:
    join_datasets(root, "both", ["a", "b"])
    with pytest.raises(ConfigError, match=r"both has a column 'set' .* join its parts"):
        join_datasets(root, "all", ["both", "a"])
    shutil.copytree(root / "data/a", root / "data/a_a")
    with pytest.raises(ConfigError, match="could be the same"):
        join_datasets(root, "all", ["a", "a_a"])
    with pytest.raises(ConfigError, match="there is no data set b/"):
        join_datasets(root, "all", ["a", "b/"])


@pytest.mark.parametrize("sets", [["a"], ["a", "a"], ["a", "both"]], ids="+".join)
def test_sets_that_are_no_two_are_refused(root: Path, sets: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected two or more data sets other than both"):
        join_datasets(root, "both", sets)


def test_a_split_that_was_edited_or_has_another_seed_joins_nothing(root: Path) -> None:
    space = Workspace(root, "b")
    lock = read_json(space.split_json, Lock)
    write_json(space.split_json, lock.model_copy(update={"seed": 1}))
    refused(root, "another seed", ConfigError)
    write_json(space.split_json, lock)
    space.split_csv.write_text(space.split_csv.read_text().replace("train", "test", 1))
    refused(root, "not the one that")


def refused(root: Path, why: str, kind: type[HgmnetError] = InvalidDataError) -> None:
    with pytest.raises(kind, match=why):
        join_datasets(root, "both", ["a", "b"])
    assert not (root / "data/both").exists()


def records(space: Workspace) -> list[manifest.ImageRecord]:
    return manifest.build(space.raw)


def splits(space: Workspace) -> dict[str, str]:
    """The split of each image, by name and class, as stage `split` extends it."""
    rows = read_rows(space.split_csv, SplitRow)
    verify(rows, read_json(space.split_json, Lock), SPLIT)
    extended = extend_split(rows, records(space), [], SPLIT)
    active = active_images(extended, records(space))
    return {f"{one.record.name} {one.record.label}": one.row.status for one in active}
