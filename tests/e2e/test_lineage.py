"""`hgmnet lineage` and `publish`: the workspace and the weights come back, in a fresh clone."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hgmnet.models.spec import identity
from pipelines.artifacts.paths import Workspace
from tests.whole_repository import bash, give_finished

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
LINEAGE = "python -m pipelines lineage"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose code is committed; then a model was made, registered, and pushed."""
    root = tmp_path_factory.mktemp("lineage") / "here"
    give_finished(root)
    bash(root, "dvc push -q")
    return root


def test_a_fresh_clone_has_the_same_weights_and_nothing_to_do(here: Path, tmp_path: Path) -> None:
    commit = bash(here, "git rev-parse HEAD").strip()
    bash(here, "git commit -q --allow-empty -m later; rm -rf .hgmnet/versions")
    said = bash(here, f"{LINEAGE} 1")
    assert f"commit       {commit}\n" in said
    commands = said[said.index("git clone") :]
    folder = tmp_path / re.findall(r"cd (\S+)", commands)[0]
    assert "Data and pipelines are up to date" in bash(tmp_path, commands)
    assert identity(Workspace(folder, "phantom").model) == identity(
        Workspace(here, "phantom").model
    )
    for name in ("params.yaml", "pccp.yaml", "data/phantom/split.csv"):
        assert (folder / name).read_bytes() == (here / name).read_bytes()
    locked = [YAML(typ="safe").load(f / "dvc.lock")["stages"] for f in (folder, here)]
    del locked[1]["register"]  # written when register had run, and so had kept the others
    assert locked[0] == locked[1]
    assert bash(folder, "git rev-parse HEAD").strip() == commit


def test_what_is_not_there_is_told(here: Path) -> None:
    assert "has no champion yet" in bash(here, LINEAGE, status=2)
    assert "has no version 9" in bash(here, f"{LINEAGE} 9", status=2)


def test_publish_tags_what_a_clone_needs_and_can_be_repeated(here: Path, tmp_path: Path) -> None:
    """The push fails first; then the same command ends it. The checkout stays as it was."""
    origin = tmp_path / "origin.git"
    before = bash(here, "git status --porcelain; git rev-parse HEAD; git branch --show-current")
    assert "no `dvc gc` yet: version 1 of" in bash(here, "python -m pipelines clean")
    bash(here, f"git remote add origin {origin}")
    assert "`git push` failed" in bash(here, "python -m pipelines publish", status=1)
    bash(here, f"git init -q -b main --bare {origin}; git push -q origin HEAD:main")
    said = [bash(here, "python -m pipelines publish").splitlines()[-1] for _ in range(2)]
    assert said[0] == said[1]
    assert re.match(
        r"hgmnet-phantom@v1.0.0: commit \w{7} on published/hgmnet-phantom, pushed", said[0]
    )
    assert "`dvc gc --workspace --all-tags`" in bash(here, "python -m pipelines clean")
    after = bash(here, "git status --porcelain; git rev-parse HEAD; git branch --show-current")
    assert after == before
    assert len(bash(here, "git log --oneline HEAD..published/hgmnet-phantom").splitlines()) == 1

    folder = tmp_path / "clone"
    bash(tmp_path, f"git clone -q -b hgmnet-phantom@v1.0.0 {origin} clone")
    bash(folder, "dvc pull -q --allow-missing")
    assert identity(Workspace(folder, "phantom").model) == identity(
        Workspace(here, "phantom").model
    )
    assert "Data and pipelines are up to date" in bash(folder, "dvc status report")

    bash(tmp_path, f"dvc artifacts get {origin} hgmnet-phantom --rev v1.0.0 -o got")
    assert identity(tmp_path / "got") == identity(Workspace(here, "phantom").model)

    (here / "pipelines/another.py").write_text("")
    assert "the code has uncommitted changes" in bash(here, "python -m pipelines publish", status=2)
    (here / "pipelines/another.py").unlink()
