"""Stage gate: compare the figures with the bounds, and the model with its change plan.

A failed gate is a result, not an error.
"""

from pathlib import Path

from hgmnet.config.data import Data
from hgmnet.config.evaluation import Gate
from hgmnet.config.operation import Registry
from pipelines.artifacts.io import write_json
from pipelines.artifacts.paths import Workspace
from pipelines.gate.result import judge


def run(root: Path, data: Data, gate: Gate, registry: Registry) -> None:
    """Write reports/gate.json; raises as `judge`."""
    space = Workspace(root, data.name)
    write_json(space.gate, judge(space, data, gate, registry))
