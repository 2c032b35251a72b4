"""The settings that `study compare` compares."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hgmnet.config.params import Params
from hgmnet.errors import ConfigError
from pipelines.operations.experiments import parsed_with

SECTIONS = ("model", "train", "calibrate")
"""What may differ: not the images, their folds, or how they are evaluated."""


def variants(path: Path, words: Sequence[str]) -> dict[str, Params]:
    """Return the settings of every combination of values, by name; the first is the reference.

    `path`: params.yaml. `words`: of `-S`, such as `model.encoder=resnet18,resnet34`.

    Raises:
        ConfigError: a word is no setting of model, train or calibrate, is given twice, a value is
            not valid, or there is one combination.
    """
    values = [_values(word) for word in words]
    keys = [key for key, _ in values]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ConfigError(f"-S {twice[0]} is given twice; put its values into one, with commas")
    changing = [key for key, several in values if len(several) > 1]
    found = {}
    for combination in product(*(several for _, several in values)):
        changes = dict(zip(keys, combination, strict=True))
        name = ", ".join(f"{key.rpartition('.')[2]} {changes[key]}" for key in changing)
        found[name] = parsed_with(path, changes)
    if len(found) < 2:
        raise ConfigError("expected two settings or more: -S model.encoder=resnet18,resnet34")
    return found


def _values(word: str) -> tuple[str, list[Any]]:
    key, equals, text = word.partition("=")
    if not equals or key.partition(".")[0] not in SECTIONS:
        some = ", ".join(SECTIONS)
        raise ConfigError(f"-S {word}: expected <setting of {some}>=<value>,<value>,...")
    try:
        return key, YAML(typ="safe", pure=True).load(f"[{text}]")
    except YAMLError:
        raise ConfigError(f"-S {word}: {text} is not YAML") from None
