"""Publish a version: images and weights in DVC's remote, dvc.lock and split in a commit with a tag.

The checkout does not change: the commit is made on a separate branch. Each step continues an
earlier attempt, so after a failure run the same command again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hgmnet.config.params import load_params
from hgmnet.errors import ConfigError
from hgmnet.models.spec import identity
from pipelines.artifacts.paths import Workspace
from pipelines.registry.tracking_store import (
    connect_with_retries,
    http_limits,
    store_errors_as_messages,
)
from pipelines.registry.versions import number_of
from pipelines.system import dvc
from pipelines.system.git import git

_NOBODY = {
    f"GIT_{who}_{what}": said
    for who in ("AUTHOR", "COMMITTER")
    for what, said in (("NAME", "hgmnet"), ("EMAIL", "hgmnet@localhost"))
}
"""Author and committer where git's user.email is not set."""


@dataclass(frozen=True)
class Publication:
    """A published version; `remote`: empty where there is none to push to."""

    version: str
    branch: str
    tag: str
    commit: str
    remote: str


def publish(
    root: Path, on_line: Callable[[str], None], limit_s: float | None = None
) -> Publication:
    """Publish the registered version of the model on disk.

    `on_line` gets each line that DVC prints; `limit_s`: seconds after which `dvc push` is ended.

    Raises:
        ConfigError: it is not registered, DVC has no default remote, the code is not committed, or
            the tag is at another commit.
        HgmnetError: DVC or git failed.
    """
    params = load_params(root / "params.yaml")
    space, name = Workspace(root, params.data.name), params.registry.name
    with http_limits(timeout_s=120, retries=3), store_errors_as_messages(root):
        store = connect_with_retries(root, params.data.name)
        version = number_of(store, name, identity(space.model))
    if version is None:
        raise ConfigError(f"the model on disk is no version of {name}: dvc repro register")
    files = _files(space)
    _refuse_unfit(root, files)
    dvc.call(root, ["push"], on_line, limit_s)
    branch, tag = f"published/{name}", _tag_of(name, version)
    commit = _commit(root, files, branch, f"{name} version {version}")
    _tag(root, tag, commit, f"{name} version {version}")
    remote = "origin" if "origin" in git(root, "remote").split() else ""
    if remote:
        git(root, "push", "-q", remote, f"refs/heads/{branch}", f"refs/tags/{tag}")
    return Publication(version, branch, tag, commit, remote)


def is_tagged(root: Path, name: str, version: str) -> bool:
    """Whether a version has a tag, also one of the form that earlier releases wrote."""
    tags = [_tag_of(name, version), f"{name}-v{version}"]
    return bool(git(root, "tag", "--list", *tags, allowed=(0, 128)))


def _tag_of(name: str, version: str) -> str:
    """The tag of a version as GTO reads it, and so `dvc artifacts`: it wants three numbers."""
    return f"{name}@v{version}.0.0"


def _files(space: Workspace) -> list[str]:
    """Paths, relative to the root, of the files that runs write and git keeps."""
    ours = [space.root / name for name in ("params.yaml", "dvc.lock")]
    data = [space.folder / name for name in ("dvc.lock", "raw.dvc", ".gitignore")]
    assigned = [space.groups, space.split_csv, space.split_json]
    found = [file for file in (*ours, *data, *assigned) if file.exists()]
    return [file.relative_to(space.root).as_posix() for file in found]


def _refuse_unfit(root: Path, files: list[str]) -> None:
    if not dvc.has_remote(root):
        raise ConfigError("DVC has no default remote to publish to: dvc remote add -d NAME URL")
    excluded = [f":(exclude){file}" for file in files]
    if changed := git(root, "status", "--porcelain", "--", ".", *excluded):
        first = changed.splitlines()[0].strip()
        raise ConfigError(f"the code has uncommitted changes ({first}); commit them first")


def _commit(root: Path, files: list[str], branch: str, message: str) -> str:
    """Commit these files on top of HEAD; return the branch's commit if it has the same tree."""
    head = git(root, "rev-parse", "HEAD")
    tip = git(root, "rev-parse", "-q", "--verify", f"refs/heads/{branch}", allowed=(0, 1))
    with TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", head, env=index)
        git(root, "add", "-f", "--", *files, env=index)
        tree = git(root, "write-tree", env=index)
    if tip and git(root, "rev-parse", f"{tip}^{{tree}}") == tree:
        return tip
    parents = [word for one in dict.fromkeys([tip, head]) if one for word in ("-p", one)]
    commit = git(root, "commit-tree", tree, *parents, "-m", message, env=_who(root))
    git(root, "update-ref", f"refs/heads/{branch}", commit, tip or "0" * len(commit))
    return commit


def _tag(root: Path, tag: str, commit: str, message: str) -> None:
    """Make an annotated tag; GTO ignores others."""
    there = git(root, "rev-parse", "-q", "--verify", f"refs/tags/{tag}^{{commit}}", allowed=(0, 1))
    if not there:
        git(root, "tag", "-a", "--no-sign", "-m", message, tag, commit, env=_who(root))
    elif there != commit:
        held, wanted = (git(root, "rev-parse", f"{one}^{{tree}}") for one in (there, commit))
        if held != wanted:
            raise ConfigError(f"the tag {tag} is at another commit ({there[:7]}) already")


def _who(root: Path) -> dict[str, str]:
    return {} if git(root, "config", "user.email", allowed=(0, 1)) else _NOBODY
