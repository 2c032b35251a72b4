"""How often which verdict: `python benchmarks/promotion.py [simulated comparisons]`.

Pairs of models of known quality are made up, image by image, for a test split of BUSI's size, and
held against one another by the rule of params.yaml. Dice: a lesion's own difficulty (a beta
distribution, and one lesion in twenty missed by both) plus noise of each model; classes: right
where a difficulty of the image, plus noise, is low enough. Figures of docs/promotion.md.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from hgmnet.config.operation import Promotion
from hgmnet.config.params import load_params
from hgmnet.evaluation.promotion_rule import ORDER, compare

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"benign": 87, "malignant": 41, "normal": 24}
A_GROUP = 1.3  # images
SCENARIOS = {
    "equal": (0.0, 0.0),
    "Dice +.02": (0.02, 0.0),
    "Dice +.04": (0.04, 0.0),
    "Dice +.06": (0.06, 0.0),
    "Dice +.04, accuracy +.04": (0.04, 0.04),
    "Dice -.02": (-0.02, 0.0),
    "Dice -.05": (-0.05, 0.0),
    "accuracy -.05": (0.0, -0.05),
    "accuracy -.10": (0.0, -0.10),
}
"""How much better the challenger truly is: Dice, accuracy."""


def main() -> None:
    """Simulate and print a table."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rule = load_params(ROOT / "profiles/busi.yaml").promotion.model_copy(update={"draws": 2000})
    for factor in (1, 10):
        images = factor * sum(SIZES.values())
        print(f"\n{images} test images, {times} comparisons each, share of each verdict\n")
        print("| challenger, truly | " + " | ".join(reversed(ORDER)) + " |")
        print("|---|" + "---:|" * len(ORDER))
        for number, (name, gain) in enumerate(SCENARIOS.items()):
            rng = np.random.default_rng(number)
            verdicts = Counter(one(rng, gain, rule, factor) for _ in range(times))
            shares = (f"{verdicts[verdict] / times:.2f}" for verdict in reversed(ORDER))
            print(f"| {name} | {' | '.join(shares)} |", flush=True)


def one(rng: np.random.Generator, gain: tuple[float, float], rule: Promotion, factor: int) -> str:
    """The verdict on one made-up pair."""
    label = np.repeat(list(SIZES), [factor * count for count in SIZES.values()])
    rng.shuffle(label)
    lesion = label != "normal"
    difficulty = rng.beta(6, 2, len(label)) * (rng.random(len(label)) > 0.05)
    hardness = rng.random(len(label))
    return compare(
        *(rows(rng, label, lesion, difficulty + d, hardness - a) for d, a in ((0.0, 0.0), gain)),
        rule,
    ).verdict


def rows(
    rng: np.random.Generator,
    label: np.ndarray,
    lesion: np.ndarray,
    dice: np.ndarray,
    hardness: np.ndarray,
) -> pd.DataFrame:
    """One model's rows; about four classes in five are right."""
    count = len(label)
    tp = np.round(1000 * np.clip(dice + rng.normal(0, 0.08, count), 0, 1)).astype(int)
    right = hardness + rng.normal(0, 0.1, count) < 0.82
    wrong = np.where(label == "malignant", "benign", "malignant")
    said = np.where(right, label, wrong)
    return pd.DataFrame(
        {
            "pixel_sha256": np.arange(count).astype(str),
            "group": (np.arange(count) / A_GROUP).astype(int).astype(str),
            "label": label,
            "predicted": said,
            "decision": said,
            "served_tp": np.where(lesion, tp, 0),
            "served_fp": np.where(lesion, 1000 - tp, 0),
            "served_fn": np.where(lesion, 1000 - tp, 0),
        }
    )


if __name__ == "__main__":
    main()
