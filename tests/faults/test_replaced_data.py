"""Faults in how images that are here are replaced by those of a source."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest
from ruamel.yaml import YAML

from hgmnet.config.data import Phantom
from hgmnet.errors import HgmnetError, InvalidDataError
from hgmnet.importing import importer
from hgmnet.phantom import generate
from pipelines.artifacts.paths import Workspace
from pipelines.operations.import_dataset import import_dataset
from tests.servers import prefect_server
from tests.source_files import as_csv, as_xlsx, encoded, folder

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("image", "label")
ROWS = (("a.png", "benign"), ("b.png", "normal"))


@pytest.fixture
def clinic(tmp_path: Path) -> Workspace:
    """A repository with two images, from a table in `source`."""
    files = {"a.png": encoded(1), "b.png": encoded(2), "all.csv": as_csv(COLUMNS, ROWS)}
    space = Workspace(tmp_path / "here", "clinic")
    importer.lay_out(folder(tmp_path / "source", files) / "all.csv", space.raw)
    return space


def test_a_table_of_fewer_rows_replaces_what_is_there(clinic: Workspace) -> None:
    table = clinic.root.parent / "source/one.csv"
    table.write_bytes(as_csv(COLUMNS, ROWS[:1]))
    importer.lay_out(table, clinic.raw)
    assert [path for path in names(clinic) if path.endswith(".png")] == ["raw/benign/a.png"]


def test_a_table_that_names_an_absent_image_replaces_nothing(clinic: Workspace) -> None:
    before = names(clinic)
    error = replaced_by(clinic, "absent.csv", as_csv(COLUMNS, [*ROWS, ("c.png", "benign")]))
    assert "c.png is missing" in str(error)
    assert names(clinic) == before


@pytest.mark.parametrize(
    ("table", "content"),
    [("empty.csv", as_csv(COLUMNS, [])), ("empty.xlsx", as_xlsx(COLUMNS, []))],
    ids=["csv", "xlsx"],
)
def test_a_table_without_a_row_replaces_nothing(
    clinic: Workspace, table: str, content: bytes
) -> None:
    before = names(clinic)
    error = replaced_by(clinic, table, content)
    assert (isinstance(error, HgmnetError), names(clinic)) == (True, before)


def test_a_zip_without_an_image_replaces_nothing(clinic: Workspace) -> None:
    source = clinic.root.parent / "source" / "empty.zip"
    with ZipFile(source, "w") as archive:
        archive.writestr("benign/", "")
    before = names(clinic)
    with pytest.raises(InvalidDataError):
        import_dataset(clinic.root, "clinic", str(source), replace=True)
    assert names(clinic) == before


def test_a_swap_that_fails_puts_the_images_back(
    clinic: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = names(clinic), Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="No space"):
        importer.lay_out(clinic.root.parent / "source/all.csv", clinic.raw)
    monkeypatch.undo()
    assert names(clinic) == before


def test_images_moved_aside_by_a_killed_import_come_back(clinic: Workspace) -> None:
    before = names(clinic)
    clinic.raw.rename(clinic.raw.with_name(".raw.1.old"))
    with pytest.raises(InvalidDataError):
        importer.lay_out(clinic.root.parent / "nowhere.csv", clinic.raw)
    assert names(clinic) == before


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], str, Workspace]:
    """What a data set held, and what the flow said of an export of which five rows were left."""
    place = tmp_path_factory.mktemp("watched")
    space, source = Workspace(place / "here", "clinic"), place / "source"
    draw(source)
    make_repository(space.root)
    run(space.root, "dvc", "init", "-q", "--no-scm")
    run(space.root, "pipelines", "import", "clinic", str(source / "all.csv"))
    before = names(space)
    with prefect_server(place):
        flow = ["pipelines", "flow", "data_watch", str(source / "half.csv"), "--no-train"]
        output = run(space.root, *flow, status=4)
    return before, output, space


@pytest.mark.slow
@pytest.mark.long
def test_what_validation_refuses_is_invalid_data(
    watched: tuple[list[str], str, Workspace],
) -> None:
    before, output, _ = watched
    assert len(before) > 60
    assert "data/clinic stays as it is" in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.long
def test_what_validation_refuses_leaves_the_images_as_they_are(
    watched: tuple[list[str], str, Workspace],
) -> None:
    before, _, space = watched
    assert set(before) <= set(names(space))


def replaced_by(space: Workspace, table: str, content: bytes) -> Exception:
    """What `hgmnet import clinic source/<table> --replace` raises."""
    source = space.root.parent / "source" / table
    source.write_bytes(content)
    try:
        import_dataset(space.root, "clinic", str(source), replace=True)
    except Exception as error:  # a traceback is one of the faults
        return error
    raise RuntimeError("nothing was raised")


def names(space: Workspace) -> list[str]:
    """The files of a data set, those that its folder hides too, without DVC's."""
    files = (path.relative_to(space.folder) for path in space.folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if len(path.parts) > 1)


def draw(source: Path) -> None:
    """Twelve images of a class; all.csv names them, half.csv the first five."""
    kinds = dict.fromkeys(("benign", "malignant", "normal"), 12)
    generate.generate(Phantom(seed=7, copies=0, width=130, height=120, **kinds), source)
    images = [path for path in sorted(source.rglob("*.png")) if "_mask" not in path.stem]
    rows = [row(source, image) for image in images]
    for table, kept in (("all.csv", rows), ("half.csv", rows[:5])):
        (source / table).write_bytes(as_csv((*COLUMNS, "mask"), kept))


def row(source: Path, image: Path) -> Sequence[str]:
    masks = sorted(image.parent.glob(f"{image.stem}_mask*.png"))
    inside = [path.relative_to(source).as_posix() for path in (image, *masks)]
    return inside[0], image.parent.name, ";".join(inside[1:])


def make_repository(root: Path) -> None:
    """Our code, and of dvc.yaml the two stages that look at the images."""
    root.mkdir()
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((ROOT / "profiles/quickstart.yaml").read_text())
    params["data"]["name"] = "clinic"
    stages = yaml.load((ROOT / "dvc.yaml").read_text())
    stages["stages"] = {name: stages["stages"][name] for name in ("ingest", "validate")}
    for name, tree in (("params.yaml", params), ("dvc.yaml", stages)):
        with (root / name).open("w") as file:
            yaml.dump(tree, file)
    for name in ("hgmnet", "pipelines"):
        (root / name).symlink_to(ROOT / name)


def run(root: Path, *words: str, status: int = 0) -> str:
    """What a command prints, which must end with this status."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=root,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != status:
        raise RuntimeError(f"{words} ended with {done.returncode}: {done.stdout}")
    return done.stdout
