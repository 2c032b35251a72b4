"""The change plan, made so wide for phantom that what a test trains in seconds fits."""

from pathlib import Path

from ruamel.yaml import YAML

PLANS = Path(__file__).resolve().parents[1] / "pccp.yaml"
NAME = "hgmnet-phantom"


def write_plans(root: Path, **changes) -> None:
    """Write pccp.yaml; `changes` by part of phantom's plan (`fixed={"tasks": "segmentation"}`)."""
    yaml = YAML(typ="safe", pure=True)
    plans = yaml.load(PLANS.read_text())
    plan = plans["plans"][NAME]
    plan["allowed"]["retraining"]["side"]["min"] = 1
    plan["allowed"]["thresholds"] = {
        name: {"min": 0, "max": 1} for name in ("malignant", "mask", "min_area")
    }
    plan["acceptance"] = [
        {"metric": "lesion_dice", "bound": 0.0, "on": "point", "where": "all", "min_n": 1}
    ]
    for part, values in changes.items():
        plan[part] = plan[part] | values if isinstance(values, dict) else values
    with (root / "pccp.yaml").open("w") as file:
        yaml.dump(plans, file)
