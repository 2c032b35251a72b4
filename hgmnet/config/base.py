"""Common parts of all settings: types of values, frozen sections, loading, formatted problems.

There are no defaults, on purpose: DVC sees changes only in params.yaml.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hgmnet.errors import ConfigError

NORMAL = "normal"
MALIGNANT = "malignant"
UNCLASSIFIED = "unclassified"  # the class of a model that predicts none

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Natural = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**24)]
NAME = r"^[a-z0-9][a-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

T = TypeVar("T", bound=BaseModel)


class Frozen(BaseModel):
    """Base class of values that can't be changed and refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


WORD, FILE, SUBGROUP = "<word>", "<file>", "<subgroup>"  # tags of a setting's forms

SMALL = 30
"""A subgroup of fewer images is small: its figures are marked, and no bound may use it."""


def load_settings(path: Path, kind: type[T], absent: str) -> T:
    """Read settings, YAML 1.2; ConfigError as `load_params`, or with `absent` if it is missing."""
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing; {absent}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason}") from None
    except YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(problems(error))) from None


def flat_settings(sections: Mapping[str, Frozen]) -> dict[str, str | float | bool]:
    """Return every setting of some sections by dotted name, as `train.loss.dice`; lists as text."""
    flat: dict[str, str | float | bool] = {}
    trees = [(name, part.model_dump(mode="json")) for name, part in sections.items()]
    while trees:
        prefix, tree = trees.pop(0)
        for key, value in tree.items():
            name = f"{prefix}.{key}"
            if isinstance(value, dict):
                trees.append((name, value))
            else:
                flat[name] = value if isinstance(value, float | bool) else str(value)
    return flat


def change_setting(tree: Any, key: str, value: object) -> bool:
    """Set a value in a tree of mappings by dotted key; False if there is no such key."""
    *sections, last = key.split(".")
    for section in sections:
        tree = tree.get(section) if isinstance(tree, dict) else None
    if not isinstance(tree, dict) or last not in tree:
        return False
    tree[last] = value
    return True


RENAMED = {"evaluate.open_test": "evaluate.include_test"}
"""Renamed settings: for one release, an old name is an error that states the new one."""


ADDED = {
    "validate.patient_share": 0.2,
    "promotion.min_groups": 10,
    "train.encoder_rate": 1.0,
    "train.class_balance": 0.0,
    "train.map_dropout": 0.0,
    "train.members": 1,
    "train.augment.aspect": 0.0,
    "train.augment.sharpness": 0.0,
}
"""New settings: for one release, the error about a missing one states the value to add."""


def problems(error: ValidationError) -> Iterator[str]:
    """Format the problems of settings, one per key."""
    found = [(_key(problem), problem) for problem in error.errors(include_url=False)]
    renamed = {old: new for old, new in RENAMED.items() if old in dict(found)}
    for old, new in renamed.items():
        yield f"{old} is now {new}; rename it"
    for key, problem in found:
        if key in ADDED and problem["type"] == "missing":
            yield f"{key} is new; add {key.rpartition('.')[2]}: {ADDED[key]}"
        elif key not in {*renamed, *renamed.values()}:
            yield f"{key}: {_said(problem)}"


def _key(problem: Any) -> str:
    parts = (str(part) for part in problem["loc"] if part not in {WORD, FILE, SUBGROUP})
    return ".".join(parts) or "the file"


def _said(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if problem["type"] == "missing":
        return "missing"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    got = f"got {problem['input']!r}"
    if problem["loc"][-1:] == (WORD,):
        keys = ("column", "value") if "where" in problem["loc"] else ("path", "sha256")
        other = ", ".join(f"{key}: ..." for key in keys)
        return f"expected {problem['ctx']['expected']} or {{{other}}}, {got}"
    return f"{problem['msg']}, {got}"
