"""Who may import what: DESIGN's one direction, read from the source and seen at run time."""

import subprocess
import sys

import pytest

from pipelines.__main__ import COMMANDS, STAGES
from tests.imports import PACKAGES, REPOSITORY, imported, modules, reached, within

ONLY = {
    "dvc": (),
    "great_expectations": (
        "pipelines.expectations",
        "pipelines.expectations_drift",
        "pipelines.expectations_images",
        "pipelines.expectations_pixels",
    ),
    "mlflow": ("pipelines.registry", "pipelines.serving", "pipelines.tracking"),
    "onnx": ("hgmnet.export",),
    "onnxruntime": ("hgmnet.export", "hgmnet.exported", "hgmnet.read_onnx"),
    "prefect": ("pipelines.flows",),
    "pipelines": ("pipelines",),
    "pipelines.flows": ("pipelines.flows", "pipelines.commands.flow", "pipelines.commands.clean"),
}
TRAINING = {
    *("torch", "torchvision", "timm", "segmentation_models_pytorch", "lightning", "numpy"),
    *("pandas", "pydantic", "ruamel", "scipy", "safetensors", "PIL"),
}
"""All that a machine which only trains and predicts needs to have."""
HEAVY = {
    *("torch", "lightning", "mlflow", "prefect", "great_expectations", "dvc", "pandas", "numpy"),
    *("pydantic", "scipy", "PIL", "matplotlib", "sklearn"),
}
LOOK = """
import sys
from pipelines.__main__ import main
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


def test_the_reader_of_an_exported_file_needs_three_packages() -> None:
    roots = {name.partition(".")[0] for name in imported(modules()["hgmnet.read_onnx"])}
    assert roots - set(sys.stdlib_module_names) == {"numpy", "onnxruntime", "PIL"}


@pytest.mark.parametrize("start", ["hgmnet.training", "hgmnet.inference"])
def test_training_and_inference_need_few_packages(start: str) -> None:
    files = [modules()[name] for name in reached(start)]
    roots = {name.partition(".")[0] for file in files for name in imported(file)}
    assert roots - set(sys.stdlib_module_names) - set(PACKAGES) <= TRAINING


def test_packages_import_nothing_of_the_project() -> None:
    """So that a module depends on no __init__.py, and dvc.yaml names none."""
    packages = [file for file in modules().values() if file.name == "__init__.py"]
    assert not [file for file in packages if any(within(n, *PACKAGES) for n in imported(file))]


@pytest.mark.parametrize("words", [[], *([name] for name in (*COMMANDS, *STAGES))])
def test_help_imports_nothing_of_weight(words: list[str]) -> None:
    command = [sys.executable, "-c", LOOK, *words, "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    status, *loaded = done.stderr.splitlines()
    assert status == "0"
    assert done.stdout.startswith("usage: hgmnet")
    assert HEAVY & set(loaded) == set()


def _uses(names: set[str], package: str) -> bool:
    return any(within(name, package) for name in names)
