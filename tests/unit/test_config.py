from pathlib import Path

import pytest

from hgmnet.config.params import Params, load_params
from hgmnet.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "profile", sorted(ROOT.glob("profiles/*.yaml")), ids=lambda path: path.stem
)
def test_every_profile_is_valid(profile):
    assert isinstance(load_params(profile), Params)


def test_the_committed_params_are_the_quickstart():
    quickstart = (ROOT / "profiles/quickstart.yaml").read_text()
    assert (ROOT / "params.yaml").read_text() == quickstart


def write(tmp_path: Path, old: str, new: str) -> Path:
    text = (ROOT / "profiles/quickstart.yaml").read_text()
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1))
    return tmp_path / "params.yaml"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  epochs:", "  epoks: 3\n  epochs:", "train.epoks: unknown key"),
        ("  batch_size: 16", "", "train.batch_size: missing"),
        ("  batch_size: 16", "  batch_size: many", r"train.batch_size: .*valid integer.*'many'"),
        ("  gate: tied", "  gate: shut", "model.gate: .*got 'shut'"),
        ("train: 0.65", "train: 0.70", r"add up to 1\.05, not 1"),
        ("[benign, malignant, normal]", "[benign, normal]", "classes: expected .*malignant"),
        ("name: phantom", "name: ../elsewhere", "data.name"),
        ("data:", "data: {", "is not YAML"),
        ("train: 2880", "trian: 2880", r"flow.timeout_minutes.trian.*: Input should be .*'train'"),
        (", default: 120", "", "flow: timeout_minutes: default is missing"),
        ("notify: []", "notify: [ops]", r"flow.notify.0: .*got 'ops'"),
        (
            "encoder_weights: none",
            "encoder_weights: imagnet",
            r": model\.encoder_weights: expected 'imagenet' or 'none' or \{pa.*, got 'imagnet'$",
        ),
        (
            "encoder_weights: none",
            "encoder_weights: {path: x}",
            r"yaml: model\.encoder_weights\.sha256: missing$",
        ),
        (
            "init_from: none",
            "init_from: models/old",
            r"yaml: train\.init_from: expected 'none' or \{path: .*\}, got 'models/old'$",
        ),
        (
            "init_from: none",
            "init_from: {path: x, sha256: abc}",
            r"yaml: train\.init_from\.sha256: [^;]*, got 'abc'$",
        ),
        (
            "where: all",
            "where: {column: Device}",
            r"yaml: gate\.checks\.0\.where\.value: missing$",
        ),
        (
            "where: all, min_n: 30",
            "where: {column: Device, value: A}, min_n: 29",
            r"gate\.checks\.0: min_n: a check of a subgroup needs at least 30 images, got 29$",
        ),
        ("where: all, min_n: 30", "where: all", r"gate\.checks\.0\.min_n: missing$"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path, old, new, said):
    with pytest.raises(ConfigError, match=said):
        load_params(write(tmp_path, old, new))


def test_all_problems_are_told_at_once(tmp_path):
    path = write(tmp_path, "  epochs:", "  epoks: 3\n  epocs:")
    with pytest.raises(ConfigError) as error:
        load_params(path)
    for key in ("train.epoks: unknown", "train.epocs: unknown", "train.epochs: missing"):
        assert key in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    path = write(tmp_path, "learning_rate: 3.0e-3", "learning_rate: 3e-3")
    assert load_params(path).train.learning_rate == 0.003


def test_an_absent_file_says_what_to_copy(tmp_path):
    with pytest.raises(ConfigError, match=r"cp profiles/quickstart\.yaml"):
        load_params(tmp_path / "params.yaml")


def names(tree: dict) -> set[str]:
    below = (names(value) for value in tree.values() if isinstance(value, dict))
    return set(tree).union(*below)


def test_no_key_is_one_that_dvc_leaves_out_of_its_hash():
    params = load_params(ROOT / "params.yaml").model_dump(by_alias=True)
    assert names(params).isdisjoint({"size", "nfiles"})
