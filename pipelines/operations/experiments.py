"""A training with other settings: a DVC experiment, run in a copy of the checkout.

The copy is a clone on the same DVC cache, with uncommitted changes of code and data. So nothing in
the checkout changes, however the run ends; a finished experiment is fetched into it at the end.
Records of the checkout stay there: `pipelines.artifacts.paths.checkout`.
"""

import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from hgmnet.config.base import change_setting, problems
from hgmnet.config.model import File
from hgmnet.config.params import Params
from hgmnet.data.atomic import write_text
from hgmnet.errors import ConfigError
from pipelines.artifacts.paths import Workspace
from pipelines.operations.run_overrides import experiment_folder, settings_file
from pipelines.system import dvc
from pipelines.system.git import git


def settings(root: Path, profile: str | None, changes: Mapping[str, Any]) -> tuple[str, Params]:
    """Return an experiment's params.yaml as text, comments and order kept, and parsed.

    It is params.yaml, or one of profiles/, with other values by dotted key, as `train.epochs`.

    Raises:
        ConfigError: there is no such profile or key, the settings are invalid, or this is no git
            repository with a commit.
    """
    base, yaml, text = settings_file(root, profile), YAML(), io.StringIO()
    tree = yaml.load(base.read_text(encoding="utf-8"))
    for key, value in changes.items():
        if not change_setting(tree, key, value):
            raise ConfigError(f"{key} is not a setting of {base.name}; as train.epochs=3")
    yaml.dump(tree, text)
    try:
        params = Params.model_validate(YAML(typ="safe", pure=True).load(text.getvalue()))
    except ValidationError as error:
        why = "; ".join(problems(error))
        raise ConfigError(f"with these changes {base.name}: {why}") from None
    commit = git(root, "rev-parse", "-q", "--verify", "HEAD", allowed=(0, 1, 128))
    if not commit or dvc.setting(root, "core", "no_scm"):
        raise ConfigError(
            "other settings for one run make a DVC experiment, which needs a git repository with a "
            "commit, known to DVC (dvc init without --no-scm); or change params.yaml itself"
        )
    return text.getvalue(), params


@contextmanager
def copied(root: Path, text: str, params: Params) -> Iterator[Path]:
    """Provide a copy of the checkout with other settings; removed after the block.

    It contains DVC's outputs of these settings that are in the cache. Call it within
    `run_overrides.alone`. `text`, `params`: of `settings`.

    Raises:
        HgmnetError: git or DVC failed.
    """
    clone = experiment_folder(root)
    top = Path(git(root, "rev-parse", "--show-toplevel"))
    copy = clone / root.resolve().relative_to(top)
    try:
        _clone(top, clone)
        write_text(copy / "params.yaml", text)
        for path in _uncommitted(Workspace(root, params.data.name)):
            target = copy / path.relative_to(root)
            if path.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
        dvc.fill_copy(root, copy, "report")
        for file in (params.model.encoder_weights, params.train.init_from):
            if isinstance(file, File) and not (target := copy / file.path).exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(root / file.path)
        yield copy
    finally:
        shutil.rmtree(clone, ignore_errors=True)


def record(root: Path, copy: Path, on_line: Callable[[str], None]) -> str:
    """Record the copy as a DVC experiment and fetch it; return its name. Raises as `copied`."""
    dvc.call(copy, ["exp", "run", "--quiet", "report"], on_line)
    ref = git(copy, "for-each-ref", "--format=%(refname)", "refs/exps/*/*/*")
    git(root, "fetch", "-q", str(experiment_folder(root)), f"{ref}:{ref}")
    return ref.rpartition("/")[2]


def _clone(root: Path, clone: Path) -> None:
    """Clone the last commit, with uncommitted changes to tracked files."""
    words = ["-q", "--shared", "--no-checkout"]
    for key in ("name", "email"):
        who = git(root, "config", "--default", "hgmnet@localhost", "--get", f"user.{key}")
        words += ["-c", f"user.{key}={who}"]
    git(root, "clone", *words, str(root), str(clone))
    changed = git(root, "stash", "create")  # makes an unnamed commit, and changes nothing else
    git(clone, "read-tree", "-u", "--reset", changed or "HEAD")


def _uncommitted(space: Workspace) -> Iterator[Path]:
    """Yield files that stages need and git does not have."""
    places = ("dvc.lock", "dvc.yaml", "pccp.yaml", "hgmnet", "pipelines", f"data/{space.data}")
    listed = git(space.root, "ls-files", "-z", "--others", "--exclude-standard", "--", *places)
    yield from (space.root / name for name in listed.split("\0") if name)
    yield from (space.groups, space.split_csv, space.split_json)
    yield space.root / ".dvc" / "config.local"
