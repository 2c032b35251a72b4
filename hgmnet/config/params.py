"""params.yaml as a whole: no defaults, no unknown keys, all problems at once."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hgmnet.config.base import Frozen, load_settings
from hgmnet.config.data import Data, Phantom, Prepare, Split, Validate
from hgmnet.config.evaluation import Calibrate, Evaluate, Gate, Report
from hgmnet.config.model import Model
from hgmnet.config.operation import Flow, Promotion, Registry
from hgmnet.config.training import Train


class Params(Frozen):
    """All of params.yaml, one field per section."""

    data: Data
    phantom: Phantom
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    prepare: Prepare
    model: Model
    train: Train
    calibrate: Calibrate
    evaluate: Evaluate
    gate: Gate
    report: Report
    registry: Registry
    promotion: Promotion
    flow: Flow

    def section(self, name: str) -> Frozen:
        """Return the section `name` of params.yaml; KeyError if there is no such section."""
        for field, info in type(self).model_fields.items():
            if name == (info.alias or field):
                section: Frozen = getattr(self, field)
                return section
        raise KeyError(name)


def load_params(path: Path) -> Params:
    """Read params.yaml (YAML 1.2, as in DVC: `1e-4` is a number).

    Raises:
        ConfigError: the file is missing, is not YAML, or has unknown, missing or ill-typed keys;
            the message names all of them.
    """
    ready_made = "copy a ready-made one: cp profiles/quickstart.yaml params.yaml"
    return load_settings(path, Params, ready_made)
