"""What the project's files import, read from their source: also imports inside functions."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("hgmnet", "pipelines")


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name; a package is its __init__.py."""
    files = [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]
    return {_dotted(file): file for file in sorted(files)}


@functools.cache
def imported(file: Path) -> frozenset[str]:
    """The modules that a file names; `from a import b` names a, and a.b if that is a module."""
    tree = ast.parse(file.read_text())
    return frozenset(name for node in ast.walk(tree) for name in _named(node, file))


def reached(*names: str) -> set[str]:
    """The project's modules that these import, by way of others too, and these themselves."""
    known = modules()
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in known and name not in found:
            found.add(name)
            todo.extend(imported(known[name]))
    return found


def within(name: str, *packages: str) -> bool:
    """Whether a module is one of these or lies inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _named(node: ast.AST, file: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{file}, line {node.lineno}: a relative import"
        yield str(node.module)
        inside = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from (name for name in inside if name in modules())


def _dotted(file: Path) -> str:
    path = file.relative_to(REPOSITORY).with_suffix("")
    return ".".join(path.parent.parts if path.name == "__init__" else path.parts)
