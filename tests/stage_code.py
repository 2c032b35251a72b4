"""Of which of the project's files each stage is made; `make deps` writes them into dvc.yaml."""

from pathlib import Path

from pipelines.__main__ import STAGES
from tests.imports import PACKAGES, REPOSITORY, modules, reached

DATA = "phantom"
FILES = ("data/phantom/dvc.yaml", "dvc.yaml")
_TEXTS = (".j2", ".css", ".js")  # what a module may read from its own folder
_DEP = "      - "


def made_of(stage: str) -> list[str]:
    """The project's files that a stage is made of: modules, and the texts beside their readers."""
    files = {modules()[name] for name in reached(f"pipelines.stages.{stage}")}
    code = {file for file in files if file.name != "__init__.py"}
    texts = {text for file in code for text in _texts_of(file)}
    return sorted(file.relative_to(REPOSITORY).as_posix() for file in code | texts)


def is_code(path: str) -> bool:
    """Whether a dependency is one of the project's files."""
    return Path(path).parts[0] in PACKAGES


def written_anew(text: str) -> str:
    """A dvc.yaml with the code among each stage's deps as it must be, and all else as it was."""
    lines, stage, within = [], "", False
    for line in text.splitlines():
        if line.startswith("  ") and line[2:3].strip() and line.rstrip().endswith(":"):
            stage = line.strip().removesuffix(":")
        if not line.startswith(_DEP):
            within = line.strip() == "deps:"
            lines.append(line)
            if within and stage in STAGES:
                lines += [_DEP + path for path in made_of(stage)]
        elif not (within and stage in STAGES and is_code(line.removeprefix(_DEP))):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _texts_of(module: Path) -> list[Path]:
    """All texts of the module's folder if it names one: templates include one another."""
    texts = [file for file in module.parent.iterdir() if file.suffix in _TEXTS]
    source = module.read_text()
    return texts if any(f'"{text.name}"' in source for text in texts) else []


if __name__ == "__main__":
    for name in FILES:
        file = REPOSITORY / name
        file.write_text(written_anew(file.read_text()))
