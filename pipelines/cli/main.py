"""The command in a checkout: `hgmnet ...`, or `python -m pipelines ...` as in dvc.yaml.

Heavy imports are inside the command that needs them, so that `--help` is fast.
"""

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from hgmnet.cli import main as anywhere
from hgmnet.cli.main import Commands

_DECLARED = tomllib.loads(Path(__file__).with_name("commands.toml").read_text(encoding="utf-8"))
STAGES: dict[str, str] = _DECLARED["stages"]
"""The DVC stages in their order; each is `pipelines/stages/<name>.py`."""
_COMMANDS = _DECLARED["commands"]
DOES = {name: one.get("does") or anywhere.DOES[name] for name, one in _COMMANDS.items()}
COMMANDS = Commands(
    DOES,
    {
        group: tuple(name for name, one in _COMMANDS.items() if one["group"] == group)
        for group in dict.fromkeys(one["group"] for one in _COMMANDS.values())
    },
    {name: one["example"] for name, one in _COMMANDS.items()},
    {name: f"pipelines.cli.{one['module']}" for name, one in _COMMANDS.items()},
)

OLD_COMMANDS = {"deal": "resplit", "data": "drift FOLDER"}
OLD_OPTIONS = {
    "flow": {"--force": "--force-stage"},
    "serve": {"--seconds": "--poll-seconds"},
    "study": {"--all": "--include-test", "--n": "--seeds"},
}
"""Renamed options by command; for one release an error names the new one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, 130 after Ctrl-C, or as in `hgmnet.errors`.

    Outside of a checkout only the commands that need none are available.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if renamed := _renamed(words):
        print(f"hgmnet: Config: {renamed}", file=sys.stderr)
        return 2
    if (
        words[:1] and words[0] in STAGES and words[0] not in DOES
    ):  # `hgmnet train`, as in older dvc.yaml files
        words = ["stage", *words]
    root = find_root()
    if root is None and words[:1] and words[0] in anywhere.DOES:
        return anywhere.run(anywhere.COMMANDS, words, version=lambda: _version(None))
    return anywhere.run(COMMANDS, words, root, version=lambda: _version(root), before=_prepare)


def find_root() -> Path | None:
    """Repository root: the nearest folder with the stages, from the current one upwards."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        beside = (folder / "params.yaml").exists() or (folder / "data").exists()
        if beside and (folder / "dvc.yaml").is_file():
            return folder
    return None


def _prepare(root: Path | None) -> None:
    """Restore params.yaml after a run that died; ConfigError if there is no checkout."""
    from hgmnet.errors import ConfigError
    from pipelines.operations.run_overrides import restore

    if root is None:
        raise ConfigError(
            f"no dvc.yaml with params.yaml or data/ beside it in {Path.cwd()} or above; "
            "go to the repository"
        )
    restore(root)


def _version(root: Path | None) -> str:
    """Versions of package and commit, as text."""
    from importlib.metadata import version

    git = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return f"hgmnet {version('hgmnet')}" + (f", commit {commit}" if root and commit else "")


def _renamed(words: list[str]) -> str:
    """Return a message with the new name of a renamed command or option; empty if none."""
    if words[:1] == ["report"] and "--compare" in words:
        return "`hgmnet report --compare A B` is now `hgmnet compare A B`"
    if words[:1] and words[0] in OLD_COMMANDS:
        return f"`hgmnet {words[0]}` is now `hgmnet {OLD_COMMANDS[words[0]]}`"
    for option, new in OLD_OPTIONS.get(words[0] if words else "", {}).items():
        if option in words:
            return f"`hgmnet {words[0]} {option}` is now `hgmnet {words[0]} {new}`"
    return ""
