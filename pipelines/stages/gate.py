"""Stage gate: compare the figures with the bounds, and the model with its change plan.

A failed gate is a result, not an error.
"""

from pathlib import Path

from hgmnet.config.data import Data
from hgmnet.config.evaluation import Gate
from hgmnet.config.operation import Registry
from pipelines.artifacts.evaluation import Evaluation
from pipelines.artifacts.io import read_json, write_json
from pipelines.artifacts.paths import Workspace
from pipelines.gate.result import judge

_TEST = (
    "lesion_dice",
    "accuracy",
    "served_sensitivity_malignant",
    "served_specificity_malignant",
    "auroc_malignant",
    "served_normal_fp_rate",
    "ece",
)
_VAL = ("lesion_dice", "accuracy")


def run(root: Path, data: Data, gate: Gate, registry: Registry) -> None:
    """Write reports/gate.json and the summary that DVC shows; raises as `judge`."""
    space = Workspace(root, data.name)
    result = judge(space, data, gate, registry)
    write_json(space.gate, result)
    figures = _figures(read_json(space.metrics, Evaluation))
    write_json(space.summary, {"gate": result.status, **figures})


def _figures(found: Evaluation) -> dict[str, float | None]:
    """Main figures of test, the number of its images (0: not evaluated), and figures of val."""
    test = found.test or {}
    return (
        {"test_images": max((figure.n for figure in test.values()), default=0)}
        | {name: test[name].value for name in _TEST if name in test}
        | {f"val_{name}": found.val[name].value for name in _VAL if name in found.val}
    )
