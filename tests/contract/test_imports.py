"""Who may import whom, read from the source and seen at run time; docs/architecture.md says why."""

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipelines.cli.main import DOES, STAGES
from tests.imports import PACKAGES, REPOSITORY, imported, modules, reached, within

ONLY = {
    "dvc": (),
    "great_expectations": (
        "pipelines.drift.report",
        "pipelines.validation.expectations",
        "pipelines.validation.image_rules",
    ),
    "mlflow": ("pipelines.registry", "pipelines.promotion.comparison", "pipelines.version_page"),
    "onnx": ("hgmnet.inference.onnx_export",),
    "onnxruntime": ("hgmnet.inference",),
    "prefect": ("pipelines.flows",),
    "pipelines": ("pipelines",),
    "pipelines.flows": ("pipelines.flows", "pipelines.cli.flows", "pipelines.cli.maintenance"),
}
LEVELS = (
    {"hgmnet.errors"},
    {"hgmnet.config"},
    {"hgmnet.data", "hgmnet.models", "hgmnet.phantom"},
    {"hgmnet.importing", "hgmnet.metrics", "hgmnet.pages", "hgmnet.splitting", "pipelines.system"},
    {"hgmnet.inference", "hgmnet.training", "pipelines.artifacts", "pipelines.validation"},
    {"hgmnet.calibration", "hgmnet.prediction"},
    {"hgmnet.evaluation", "pipelines.prediction"},
    {"hgmnet.estimator", "hgmnet.serving", "pipelines.drift", "pipelines.gate", "pipelines.report"},
    {"hgmnet.cli", "pipelines.registry"},
    {"pipelines.version_page"},
    {"pipelines.operations", "pipelines.promotion", "pipelines.stages"},
    {"pipelines.studies"},
    {"pipelines.flows"},
    {"pipelines.cli"},
    {"pipelines.__main__"},
)
"""A package imports only from the rows above its own, and from itself."""
TRAINING = {
    *("torch", "torchvision", "timm", "segmentation_models_pytorch", "lightning", "numpy"),
    *("pandas", "pydantic", "ruamel", "scipy", "safetensors", "PIL", "tqdm"),
}
"""All that a machine which only trains and predicts needs to have."""
HEAVY = {
    *("torch", "lightning", "mlflow", "prefect", "great_expectations", "dvc", "pandas", "numpy"),
    *("pydantic", "scipy", "PIL", "matplotlib", "sklearn"),
}
LOOK = """
import sys
from pipelines.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(end.code, *sys.modules, sep="\\n", file=sys.stderr)
"""


@pytest.mark.parametrize("package", ONLY)
def test_a_package_is_imported_only_where_it_may_be(package: str) -> None:
    users = {name for name, file in modules().items() if _uses(imported(file), package)}
    assert {name for name in users if not within(name, *ONLY[package])} == set()


@pytest.mark.parametrize("package", ["great_expectations", "mlflow", "prefect", "pipelines.flows"])
def test_the_search_finds_the_imports_that_are_there(package: str) -> None:
    assert any(_uses(imported(file), package) for file in modules().values())


def test_a_package_imports_only_from_the_rows_above_it() -> None:
    edges = {
        (_package(name), _package(one))
        for name, file in modules().items()
        for one in imported(file)
        if within(one, *PACKAGES)
    }
    wrong = [
        f"{own} imports {other}"
        for own, other in edges
        if own and other and own != other and _level(other) >= _level(own)
    ]
    assert not wrong


def test_no_module_stands_loose() -> None:
    loose = {name for name in modules() if name.count(".") == 1 and not _is_package(name)}
    assert loose == {"hgmnet.errors", "pipelines.__main__"}


def test_a_package_says_what_lives_there() -> None:
    packages = [name for name in modules() if _is_package(name)]
    assert {_package(name) for name in modules()} - {None} <= {*packages, *LEVELS[0], *LEVELS[-1]}
    assert all(ast.get_docstring(ast.parse(modules()[name].read_text())) for name in packages)


def test_no_two_modules_import_each_other() -> None:
    """At their top: what a function imports can't make a circle."""
    tops = {name: _tops(file) & modules().keys() for name, file in modules().items()}
    order = graphlib.TopologicalSorter(tops)
    order.prepare()  # raises CycleError


def test_no_class_name_stands_twice() -> None:
    names = Counter(
        node.name
        for file in modules().values()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1 and not name.startswith("_")] == []


def test_the_reader_of_an_exported_file_needs_three_packages() -> None:
    roots = {
        name.partition(".")[0] for name in imported(modules()["hgmnet.inference.onnx_standalone"])
    }
    assert roots - set(sys.stdlib_module_names) == {"numpy", "onnxruntime", "PIL"}


@pytest.mark.parametrize("start", ["hgmnet.training.fit", "hgmnet.inference.postprocess"])
def test_training_and_inference_need_few_packages(start: str) -> None:
    files = [modules()[name] for name in reached(start)]
    roots = {name.partition(".")[0] for file in files for name in imported(file)}
    assert roots - set(sys.stdlib_module_names) - set(PACKAGES) <= TRAINING


def test_packages_import_nothing_of_the_project() -> None:
    """So that a module depends on no __init__.py, and dvc.yaml names none."""
    packages = [file for file in modules().values() if file.name == "__init__.py"]
    assert not [file for file in packages if any(within(n, *PACKAGES) for n in imported(file))]


@pytest.mark.parametrize("words", [[], *([name] for name in (*DOES, *STAGES))])
def test_help_imports_nothing_of_weight(words: list[str]) -> None:
    command = [sys.executable, "-c", LOOK, *words, "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    status, *loaded = done.stderr.splitlines()
    assert status == "0"
    assert done.stdout.startswith("usage: hgmnet")
    assert HEAVY & set(loaded) == set()


def _uses(names: set[str], package: str) -> bool:
    return any(within(name, package) for name in names)


def _package(name: str) -> str | None:
    """`hgmnet.data` of `hgmnet.data.images`; None for hgmnet and pipelines themselves."""
    parts = name.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 else None


def _level(package: str) -> int:
    (found,) = (number for number, row in enumerate(LEVELS) if package in row)
    return found


def _is_package(name: str) -> bool:
    return modules()[name].name == "__init__.py"


def _tops(file: Path) -> set[str]:
    """What a file imports when it is imported itself."""
    nodes = ast.parse(file.read_text()).body
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = {str(node.module) for node in froms}
    return names | {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
