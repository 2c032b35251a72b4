"""Copies of a version that can't be used any more, and what travels with one that should not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_store import params, small_store

from hgmnet.config.params import Params
from hgmnet.data.prepared import PreparedDataset
from hgmnet.models.serialization import save_model
from hgmnet.models.spec import OPERATING, PROFILE, SPEC, WEIGHTS, load_spec
from hgmnet.training import fit as training
from pipelines.artifacts.paths import Workspace
from tests.one_version import make_one_version
from tests.run_here import must_run, run_here


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_one_version(tmp_path_factory.mktemp("copies") / "here")


@pytest.fixture
def copied(registered: Workspace) -> Path:
    """The copy of version 1 that the first prediction leaves in the checkout."""
    shutil.rmtree(registered.versions, ignore_errors=True)
    must_run(registered.root, *predict(registered))
    (copy,) = registered.versions.iterdir()
    if not (copy / PROFILE).is_file():
        raise RuntimeError(f"{copy} is no copy of version 1")
    return copy


def test_a_copy_that_is_gone_is_fetched_again(registered: Workspace, copied: Path) -> None:
    shutil.rmtree(copied)
    assert run_here(registered.root, *predict(registered)).status == 0


@pytest.mark.parametrize("name", [WEIGHTS, SPEC, OPERATING, PROFILE])
def test_a_copy_that_lacks_a_file_is_fetched_again(
    registered: Workspace, copied: Path, name: str
) -> None:
    (copied / name).unlink()
    ended = run_here(registered.root, *predict(registered))
    assert ended.status == 0, ended.err


@pytest.fixture
def moved(registered: Workspace, copied: Path) -> Iterator[Workspace]:
    """The checkout after `mv`, with no copy of any version; it goes back afterwards."""
    shutil.rmtree(copied)
    there = registered.root.rename(registered.root.with_name("there"))
    yield Workspace(there, registered.data)
    there.rename(registered.root)


def test_a_moved_checkout_knows_its_versions(moved: Workspace) -> None:
    assert "version" in must_run(moved.root, "versions").out


def test_a_moved_checkout_still_predicts_by_its_versions(moved: Workspace) -> None:
    ended = run_here(moved.root, *predict(moved))
    assert ended.status == 0, ended.err


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[PreparedDataset, Path]:
    """A store, and a model folder as training on it writes one; no step is taken."""
    monkeypatch.setattr(training, "build_trainer", lambda *_, **__: Untiring())
    store, settings = small_store(tmp_path / "store"), params()
    made = fit(store, settings, tmp_path)
    save_model(tmp_path / "model", made.network, made.spec)
    return store, tmp_path / "model"


def test_a_model_knows_by_their_pixels_which_images_it_has_seen(
    trained: tuple[PreparedDataset, Path],
) -> None:
    store, folder = trained
    names = {entry.image for entry in store.entries}
    assert all(name.endswith(".png") for name in names)
    seen = {e.pixel_sha256 for e in store.entries if e.split in {"train", "val"}}
    assert load_spec(folder).seen.pixels == seen


def test_no_name_of_an_image_travels_with_a_model(trained: tuple[PreparedDataset, Path]) -> None:
    store, folder = trained
    text = (folder / SPEC).read_text(encoding="utf-8")
    assert [entry.image for entry in store.entries if entry.image in text] == []


class Untiring:
    """In place of Lightning's trainer: the network stays as it is."""

    def fit(self, *_: object, **__: object) -> None:
        pass


def fit(store: PreparedDataset, settings: Params, root: Path) -> training.Trained:
    return training.fit(
        store,
        data=settings.data,
        prepare=settings.prepare,
        model=settings.model,
        train=settings.train,
        root=root,
        fingerprint="f",
        checkpoints=root / "checkpoints",
        on_epoch=lambda _: None,
    )


def predict(workspace: Workspace) -> tuple[str, ...]:
    """Words that predict an image by version 1."""
    image = next(workspace.raw.rglob("*.png"))
    out = workspace.root / "predicted"
    return "predict", str(image), "--out", str(out), "--version", "1", "--backend", "torch"
