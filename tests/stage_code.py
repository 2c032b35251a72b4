"""Of which of the project's files each stage is made; `make deps` writes them into dvc.yaml."""

import itertools
import re
import textwrap
from pathlib import Path

from ruamel.yaml import YAML

from tests.imports import PACKAGES, REPOSITORY, modules, reached

LEAVES = {
    "hgmnet/errors.py": "what an error is called, its exit status, and hiding of passwords",
    "pipelines/artifacts/paths.py": "where files lie; a changed path changes dvc.yaml itself",
    "pipelines/system/dvc.py": "runs DVC",
    "hgmnet/data/progress.py": "a bar on a terminal, and how a duration is written",
    "hgmnet/pages/html.py": "how a page is filled in and a picture embedded",
    "pipelines/system/processes.py": "starts and ends other programs",
}
"""Modules that can't change what a stage makes, each with the reason: no stage depends on them."""
ALWAYS = ("register",)
"""Stages that run whatever has changed: they need no list of their code."""
DATA = "phantom"
FILES = ("data/phantom/dvc.yaml", "dvc.yaml")
_WIDTH = 120


def made_of(stage: str) -> list[str]:
    """The project's files that a stage is made of: modules, and the texts beside their readers."""
    if stage in ALWAYS:
        return []
    files = {modules()[name] for name in reached(f"pipelines.stages.{stage}")}
    code = {file for file in files if file.name != "__init__.py"}
    texts = {text for file in code for text in _texts_of(file)}
    paths = {file.relative_to(REPOSITORY).as_posix() for file in code | texts}
    return sorted(paths - LEAVES.keys())


def is_code(path: str) -> bool:
    """Whether a dependency is one of the project's files."""
    return Path(path).parts[0] in PACKAGES


def rewritten(text: str) -> str:
    """A dvc.yaml with the code among each stage's deps as it must be, and all else as it was."""
    stages = YAML(typ="safe", pure=True).load(text)["stages"]
    for stage, entry in stages.items():
        others = [path for path in entry.get("deps", []) if not is_code(path)]
        deps = _packed([*made_of(stage), *others])
        start = text.index(f"\n  {stage}:\n")
        text = text[:start] + _DEPS.sub(lambda _, deps=deps: deps, text[start:], count=1)
    return text


_DEPS = re.compile(r"^    deps:.*?\n(?=    \w)", re.MULTILINE | re.DOTALL)


def _packed(paths: list[str]) -> str:
    """Code of hgmnet, code of pipelines, then the rest; each begins a line, wrapped as text is."""
    lines = ["    deps: ["]
    for _, group in itertools.groupby(paths, lambda path: is_code(path) and Path(path).parts[0]):
        named = (f'"{path}"' if "$" in path else path for path in group)
        lines += textwrap.wrap(
            ", ".join(named) + ",",
            width=_WIDTH,
            initial_indent=" " * 6,
            subsequent_indent=" " * 8,
            break_on_hyphens=False,
            break_long_words=False,
        )
    return "\n".join([*lines, "    ]", ""])


def _texts_of(module: Path) -> set[Path]:
    """The texts of the package that the module names, and those that they include."""
    texts = [*(module.parent / "templates").glob("*"), *module.parent.glob("*.yaml")]
    found, todo = set[Path](), [module]
    while todo:
        source = todo.pop().read_text()
        named = {text for text in texts if f'"{text.name}"' in source} - found
        found |= named
        todo += named
    return found


if __name__ == "__main__":
    for name in FILES:
        file = REPOSITORY / name
        file.write_text(rewritten(file.read_text()))
