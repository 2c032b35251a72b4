"""`hgmnet init`, and the settings that no model could pass the gate with."""

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hgmnet.config.change_plan import load_plans
from hgmnet.config.evaluation import Check
from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.splitting.split_lock import SplitRow
from pipelines.artifacts.io import write_rows
from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import main
from pipelines.gate.checks import images_for
from pipelines.gate.settings import refuse_impossible
from pipelines.operations.init_settings import init_settings
from tests.imports import REPOSITORY
from tests.source_files import encoded, folder

COUNTS = {"benign": 3, "malignant": 5, "normal": 7}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout's settings, and a data set `clinic` of 20 benign and 30 malignant images."""
    shutil.copytree(REPOSITORY / "profiles", tmp_path / "profiles")
    for name in ("params.yaml", "pccp.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    put(tmp_path, benign=20, malignant=30)
    return tmp_path


def put(root: Path, **counts: int) -> None:
    files = {f"{k}/{i}.png": encoded() for k, n in counts.items() for i in range(n)}
    shutil.rmtree(root / "data/clinic/raw", ignore_errors=True)
    folder(root / "data/clinic/raw", files)


def change(root: Path, **sections: dict[str, object]) -> None:
    yaml = YAML(typ="safe", pure=True)
    tree = yaml.load((root / "params.yaml").read_text())
    for section, values in sections.items():
        tree[section] |= values
    with (root / "params.yaml").open("w") as file:
        yaml.dump(tree, file)


def test_the_settings_are_a_profiles_with_checks_that_the_images_can_meet(root: Path) -> None:
    before = (root / "pccp.yaml").read_text()
    line = init_settings(root, "clinic", "quickstart", force=False)
    params = load_params(root / "params.yaml")
    assert params.data.classes == ("benign", "malignant")
    assert (params.data.name, params.registry.name) == ("clinic", "hgmnet-clinic")
    # .8 of a fifth of 50 images; the profile's check of normals is gone
    assert [(c.metric, c.min_n) for c in params.gate.checks] == [
        ("lesion_dice", 8), ("accuracy", 8), ("accuracy", 8),
    ]  # fmt: skip
    text = (root / "params.yaml").read_text()
    assert "# Phantom data, a small network" in text
    plans = (root / "pccp.yaml").read_text()
    assert plans.startswith(before.rstrip())
    plan = load_plans(root / "pccp.yaml").plans["hgmnet-clinic"]
    assert (plan.allowed.data.sets, plan.fixed.classes) == (("clinic",), ("benign", "malignant"))
    assert (plan.modifications, plan.impact.risks) == ("", "")
    assert [check.min_n for check in plan.acceptance] == [8, 8]
    assert "\n" not in line
    assert line.endswith("Next: dvc repro")
    refuse_impossible(root)
    again = init_settings(root, "clinic", "quickstart", force=False)
    assert "the plan of hgmnet-clinic stays" in again
    assert (text, plans) == ((root / "params.yaml").read_text(), (root / "pccp.yaml").read_text())


def test_a_data_sets_own_profile_is_taken_as_it_is(root: Path) -> None:
    init_settings(root, "phantom", None, force=False)
    assert (root / "params.yaml").read_text() == (root / "profiles/quickstart.yaml").read_text()


def test_settings_in_no_commit_are_kept(root: Path, monkeypatch, capsys) -> None:
    change(root, train={"epochs": 3})
    mine = (root / "params.yaml").read_text()
    monkeypatch.chdir(root)
    assert main(["init", "clinic"]) == 2
    assert "params.yaml has changes that are in no commit" in capsys.readouterr().err
    assert (root / "params.yaml").read_text() == mine
    for words in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "mine"]):
        person = ("-c", "user.name=me", "-c", "user.email=me@here")
        subprocess.run(["git", *person, *words], cwd=root, check=True)
    assert main(["init", "clinic"]) == 0
    change(root, train={"epochs": 4})
    assert main(["init", "clinic", "--force"]) == 0
    assert load_params(root / "params.yaml").train.epochs > 4


def test_images_of_other_classes_are_refused_with_the_option_that_maps_them(root: Path) -> None:
    put(root, dcis=2, cyst=2)
    with pytest.raises(InvalidDataError, match=r"cyst, dcis; expected `malignant` .* --map"):
        init_settings(root, "clinic", None, force=False)


def test_another_sets_plan_is_refused_and_nothing_is_written(root: Path) -> None:
    plans = root / "pccp.yaml"
    plans.write_text(plans.read_text().replace("hgmnet-busi:", "hgmnet-clinic:"))
    before = (root / "params.yaml").read_text()
    said = (
        r"allowed\.data: it is trained on clinic; planned: busi; .*side: .*change the setting, or"
    )
    with pytest.raises(ConfigError, match=said):
        init_settings(root, "clinic", "quickstart", force=False)
    assert (root / "params.yaml").read_text() == before


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"registry": {"name": "hgmnet-x"}}, "there is no plan for hgmnet-x; .*hgmnet init"),
        ({"registry": {"name": "hgmnet-busi"}}, "trained on phantom; planned: busi; set registry"),
        (
            {"data": {"classes": ["benign", "malignant"]}},
            r"fixed\.classes: .*served_normal_fp_rate: no class of data\.classes \(benign, malig",
        ),
        (
            {"gate": {"checks": [{"metric": "sensitivity_cyst", "bound": 0.5, "on": "point",
                                  "where": "all", "min_n": 1}]}},
            "there is no metric `sensitivity_cyst`",
        ),
    ],
)  # fmt: skip
def test_what_no_model_can_pass_is_refused_before_training(
    root, monkeypatch, capsys, sections, said
):
    change(root, **sections)
    monkeypatch.chdir(root)
    assert main(["train"]) == 2
    with pytest.raises(ConfigError, match=said):
        refuse_impossible(root)
    error = capsys.readouterr().err
    assert error.startswith("hgmnet: Config: no model of these settings can pass the gate: ")
    assert error.count("\n") == 1


def test_a_split_without_enough_test_images_is_refused(root: Path, capsys) -> None:
    row = {"group": "g", "reason": "", "label": "benign"}
    rows = [SplitRow(pixel_sha256=f"{i}", name=f"{i}", status="test", **row) for i in range(29)]
    write_rows(Workspace(root, "phantom").split_csv, SplitRow, rows)
    with pytest.raises(ConfigError, match="min_n is 30, and the test split has 29 images for it"):
        refuse_impossible(root)
    change(root, evaluate={"include_test": False}, prepare={"side": 1024})
    refuse_impossible(root)
    assert "warning: the gate will refuse this model: allowed.retraining.side" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("metric", "where", "images"),
    [
        ("accuracy", "all", 15),
        ("lesion_dice", "all", 8),
        ("served_normal_fp_rate", "all", 7),
        ("served_specificity_malignant", "all", 10),
        ("sensitivity_normal", "all", 7),
        ("accuracy", {"column": "label", "value": "benign"}, 3),
        ("accuracy", {"column": "device", "value": "GE"}, 15),
    ],
)
def test_images_for_a_check(metric, where, images) -> None:
    check = Check(metric=metric, bound=0.5, on="point", where=where, min_n=30)
    assert images_for(check, COUNTS) == images
