"""Two registered versions side by side, each from the evaluation that its decision run recorded."""

import pytest

from pipelines.artifacts.paths import Workspace
from pipelines.cli.main import main
from tests.one_version import register_model
from tests.tiny_repository import judge, make_model, make_repository
from tests.unit.test_report_comparison import rows, worse

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Workspace:
    """Version 1 and version 2, the challenger, which is worse."""
    space = make_repository(tmp_path_factory.mktemp("versions") / "repository")
    (space.root / "dvc.yaml").touch()
    names = [f"benign/benign ({i}).png" for i in range(1, 7)]
    for seed, table in enumerate((rows(), worse())):
        table[:6].assign(image=names).to_csv(space.per_image, index=False)
        make_model(space, seed)
        judge(space, "passed", bound=0.7 - seed / 100)
        register_model(space)
    return space


@pytest.mark.parametrize("second", ["2", "challenger"])
def test_versions_are_found_by_number_and_alias(registered, monkeypatch, capsys, second):
    monkeypatch.chdir(registered.root)
    assert main(["compare", "1", second]) == 0
    said = capsys.readouterr().out
    assert said.startswith("6 test images, 6 groups\n")
    assert "the models disagree on 2 images, in the decision on 1" in said
    assert "version 1 and version 2" in registered.comparison.read_text(encoding="utf-8")


def test_a_version_stands_beside_a_file(registered, monkeypatch, capsys):
    monkeypatch.chdir(registered.root)
    assert main(["compare", "2", "reports/evaluation/per_image.csv"]) == 0
    assert "the models disagree on 0 images" in capsys.readouterr().out


def test_what_is_neither_is_refused_with_what_it_could_be(registered, monkeypatch, capsys):
    monkeypatch.chdir(registered.root)
    for word in ("7", "nobody"):
        assert main(["compare", "1", word]) == 2
        said = capsys.readouterr().err
        assert f"`{word}` is neither a version or alias of hgmnet-phantom nor a file" in said
