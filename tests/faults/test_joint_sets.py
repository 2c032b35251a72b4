"""`hgmnet join`: several data sets become one, and no image changes its split."""

import subprocess
import sys
from pathlib import Path

import pytest

from hgmnet.config.data import Fractions, Split
from hgmnet.data import manifest, metadata
from hgmnet.data.folder_layout import scan
from hgmnet.data.metadata import ImageMetadata
from hgmnet.errors import ConfigError, InvalidDataError
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
                ImageMetadata(image=i, patient=f"p{n // 2}", pixel_mm=0.1, further={"device": "X"})
                for n, i in enumerate(images)
            ]
            metadata.write(space.raw, entries)
        space.curation.write_text(f"image,group,exclude,reason\n{images[0]},,true,blurred\n")
        rows = extend_split([], records(space), [], SPLIT)
        write_rows(space.split_csv, SplitRow, rows)
        write_json(space.split_json, new_lock(rows, SPLIT, None, "first assignment", len(rows)))
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
    assert known["normal/b_0.png"].patient.startswith("b_p")
    assert known["normal/b_0.png"].pixel_mm == 0.1
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


def test_a_set_without_a_split_is_assigned_by_the_joint_one(root: Path) -> None:
    for file in (Workspace(root, "b").split_csv, Workspace(root, "b").split_json):
        file.unlink()
    join_datasets(root, "both", ["a", "b"])
    rows = read_rows(Workspace(root, "both").split_csv, SplitRow)
    assert len(rows) == 16
    extended = extend_split(rows, records(Workspace(root, "both")), [], SPLIT)
    assert [row for row in extended if row.name.startswith("a_")] == rows


def test_joined_again_the_history_goes_on(root: Path) -> None:
    join_datasets(root, "both", ["a", "b"])
    with pytest.raises(InvalidDataError, match=r"is there already; .* --replace"):
        join_datasets(root, "both", ["a", "b"])
    join_datasets(root, "both", ["b", "a"], replace=True)
    lock = read_json(Workspace(root, "both").split_json, Lock)
    assert [e.reason for e in lock.entries] == ["the splits of a, b", "the splits of b, a"]


@pytest.mark.parametrize("sets", [["a"], ["a", "a"], ["a", "both"]], ids="+".join)
def test_sets_that_are_no_two_are_refused(root: Path, sets: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected two or more data sets other than both"):
        join_datasets(root, "both", sets)


def test_a_split_that_was_edited_or_has_another_seed_joins_nothing(root: Path) -> None:
    space = Workspace(root, "b")
    lock = read_json(space.split_json, Lock)
    write_json(space.split_json, lock.model_copy(update={"seed": 1}))
    with pytest.raises(ConfigError, match="another seed"):
        join_datasets(root, "both", ["a", "b"])
    write_json(space.split_json, lock)
    space.split_csv.write_text(space.split_csv.read_text().replace("train", "test", 1))
    with pytest.raises(InvalidDataError, match="not the one that"):
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
