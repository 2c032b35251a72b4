"""Faults in how images that are here are replaced by those of a source."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest
from ruamel.yaml import YAML

from hgmnet.config.data import Data, Phantom
from hgmnet.config.params import load_params
from hgmnet.data.masks import read_mask
from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError
from hgmnet.importing import importer
from hgmnet.importing.mask_reader import MaskOptions
from hgmnet.phantom import generate
from hgmnet.splitting.split_lock import SplitRow
from hgmnet.training.planner import TrainingPlan
from pipelines.artifacts.io import read_rows, write_json
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.validation import ValidationReport
from pipelines.cli import studies
from pipelines.operations.import_dataset import import_dataset
from pipelines.operations.run_overrides import restore
from pipelines.stages import ingest, split
from tests.servers import prefect_server
from tests.source_files import as_csv, as_xlsx, encoded, folder

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("image", "label")
ROWS = (("a.png", "malignant"), ("b.png", "normal"))


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
    assert [path for path in names(clinic) if path.endswith(".png")] == ["raw/malignant/a.png"]


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
        archive.writestr("malignant/", "")
    before = names(clinic)
    with pytest.raises(InvalidDataError):
        import_dataset(clinic.root, "clinic", str(source), replace=True)
    assert names(clinic) == before


@pytest.mark.slow
def test_an_unattended_import_goes_by_the_options_of_the_last(tmp_path: Path) -> None:
    """As in the flow data_watch; without them the masks of ones would be refused."""
    space = Workspace(tmp_path / "here", "clinic")
    space.root.mkdir()
    for words in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(words, cwd=space.root, check=True)
    files = {"malignant/a.png": encoded(9), "malignant/a_mask.png": encoded(1)}
    source = str(folder(tmp_path / "source", files))
    options = importer.ImportOptions(masks=MaskOptions(values=(1,)))
    import_dataset(space.root, "clinic", source, options=options)
    shutil.rmtree(space.raw)
    import_dataset(space.root, "clinic", source, replace=True, unattended=True)
    assert read_mask([space.raw / "malignant/a_mask.png"]).all()


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


def test_any_command_brings_back_images_moved_aside(clinic: Workspace) -> None:
    before = names(clinic)
    clinic.raw.rename(clinic.raw.with_name(".raw.1.old"))
    restore(clinic.root)  # as any command does first
    assert names(clinic) == before


def test_images_that_a_killed_import_replaced_do_not_stay_for_ever(clinic: Workspace) -> None:
    before = names(clinic)
    shutil.copytree(clinic.raw, clinic.raw.with_name(".raw.1.old"))
    restore(clinic.root)
    assert names(clinic) == before


@pytest.mark.slow
def test_images_that_dvc_does_not_take_are_put_back(clinic: Workspace) -> None:
    """There is no .dvc, so the last step, `dvc add`, fails."""
    before = names(clinic)
    table = clinic.root.parent / "source/one.csv"
    table.write_bytes(as_csv(COLUMNS, ROWS[:1]))
    with pytest.raises(ConfigError, match="DVC failed"):
        import_dataset(clinic.root, "clinic", str(table), replace=True)
    assert names(clinic) == before


def test_a_table_that_excel_saved_in_latin_1_is_a_line(clinic: Workspace) -> None:
    clinic.split_csv.write_bytes(b"pixel_sha256,name\nx,M\xfcller.png\n")
    with pytest.raises(InvalidDataError, match=r"split.csv is not UTF-8; save it"):
        read_rows(clinic.split_csv, SplitRow)


def test_nothing_of_a_killed_import_is_taken_in(clinic: Workspace) -> None:
    """In a container every import may have the same process id."""
    left = clinic.raw.with_name(f".raw.{os.getpid()}.part") / "malignant"
    folder(left, {"stale.png": encoded(9)})
    before = names(clinic)
    importer.lay_out(clinic.root.parent / "source/all.csv", clinic.raw)
    assert names(clinic) == [name for name in before if "stale" not in name]


def test_a_folder_that_can_t_be_read_is_not_left_out(
    clinic: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"benign/a.png": encoded(1), "normal/b.png": encoded(2)}
    source, scan = folder(clinic.root.parent / "folders", files), os.scandir

    def denied(path: str | int) -> object:
        if str(path).endswith("/normal"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InvalidDataError, match="normal can't be read: Permission denied"):
        importer.lay_out(source, clinic.raw)


class Killed(BaseException):
    """In place of a signal."""


@pytest.fixture(scope="module")
def assigned(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A data set with a split of two thirds of its images, when the others have come."""
    space = Workspace(tmp_path_factory.mktemp("assigned"), "clinic")
    kinds = dict.fromkeys(("benign", "malignant", "normal"), 9)
    generate.generate(Phantom(seed=3, copies=0, width=90, height=80, **kinds), space.raw)
    later = [path for path in space.raw.rglob("*") if path.stem.partition("(")[2][:1] in "789"]
    space.curation.write_text("image,group,exclude,reason\n")
    passed = {"data": "clinic", "passed": True, "images": 1, "per_class": {}, "shares": {}}
    none = {"expectations": 1, "failures": (), "conflicts": ()}
    write_json(space.validation, ValidationReport(**passed, **none))
    aside = space.root / "later"
    for path in filter(Path.is_file, later):
        (aside / path.relative_to(space.raw)).parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside / path.relative_to(space.raw))
    ingest.run(space.root, CLINIC)
    divide(space)
    shutil.copytree(aside, space.raw, dirs_exist_ok=True)
    ingest.run(space.root, CLINIC)
    return space


CLINIC = Data(name="clinic", classes=("benign", "malignant", "normal"))


def divide(space: Workspace) -> list[SplitRow]:
    """The stage split."""
    split.run(space.root, CLINIC, load_params(ROOT / "profiles/quickstart.yaml").split)
    return read_rows(space.split_csv, SplitRow)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("file", ["split.csv", "split.json"])
def test_a_split_whose_stage_is_killed_between_its_files_is_whole(
    assigned: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, first: bool
) -> None:
    spaces = [Workspace(tmp_path / name, "clinic") for name in ("killed", "reference")]
    for space in spaces:
        shutil.copytree(assigned.root, space.root)
        if first:
            space.split_csv.unlink()
            space.split_json.unlink()
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if Path(target).name == file:
            raise Killed
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(Killed):
        divide(spaces[0])
    monkeypatch.undo()
    assert divide(spaces[0]) == divide(spaces[1])


def test_settings_stay_where_a_full_disk_ends_plan_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tmp_path / "params.yaml"
    shutil.copy(ROOT / "profiles/quickstart.yaml", params)
    before = params.read_text()

    def full(_: YAML, __: object, file: "os.PathLike[str]") -> None:
        file.write("# half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(YAML, "dump", full)
    keys = ("side", "fit", "epochs", "batch_size", "precision")
    plan = TrainingPlan(64, "stretch", 4, 2, "fp32", 1.0, 1.0, dict.fromkeys(keys, ""))
    with pytest.raises(OSError, match="No space"):
        studies._write(params, plan)
    assert params.read_text() == before
    assert list(tmp_path.iterdir()) == [params]


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
def test_what_validation_refuses_is_invalid_data(
    watched: tuple[list[str], str, Workspace],
) -> None:
    before, output, _ = watched
    assert len(before) > 60
    assert "data/clinic stays as it is" in output
    assert "Traceback" not in output


@pytest.mark.slow
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
