"""Seconds and memory of measuring: `python benchmarks/metrics.py [images] [rows]`.

First 2,000 images of 512 px with made-up lesions are measured one after another, as evaluate does;
then every figure of 10,000 rows in 4,000 groups is computed with its interval, 2,000 draws each.
"""

import resource
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
from measuring import ROOT

from hgmnet.config.params import load_params
from hgmnet.data.prepared import PreparedImage
from hgmnet.data.resize import Mask
from hgmnet.evaluation.figures import figures
from hgmnet.evaluation.per_image import image_row
from hgmnet.inference.postprocess import Prediction

SIDE = 512
CLASSES = ("benign", "malignant", "normal")
DRAWS = 2000


def main() -> None:
    """Measure, print."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    model = load_params(ROOT / "profiles/busi.yaml").model
    before = memory()
    seconds, measured = 0.0, []
    for entry, finding, truth in cases(images):
        start = time.perf_counter()
        measured.append(image_row(entry, finding, truth, model))
        seconds += time.perf_counter() - start
    print(f"{images} images of {SIDE} px: {seconds:.1f} s (bound 60 s for 2,000)")
    print(f"memory grew by {memory() - before:.0f} MiB")
    table = pd.DataFrame(measured).sample(rows, replace=True, random_state=0)
    table["group"] = np.random.default_rng(0).integers(rows * 2 // 5, size=rows).astype(str)
    for name in figures(table, CLASSES, 100, 0, model=model):
        start = time.perf_counter()
        figures(table, CLASSES, DRAWS, 0, model=model, only=(name,))
        print(f"{name:<32}{time.perf_counter() - start:6.2f} s (bound 2 s for 10,000 rows)")
    print(f"memory grew by {memory() - before:.0f} MiB")


def cases(count: int) -> Iterator[tuple[PreparedImage, Prediction, Mask]]:
    """Ellipses, predicted a little aside; one image in six is normal, some get specks."""
    rng = np.random.default_rng(0)
    for i in range(count):
        label = CLASSES[i % 3] if i % 6 else "normal"
        centre, radius = rng.uniform(150, 360, 2), rng.uniform(20, 110, 2)
        truth = ellipse(centre, radius) if label != "normal" else np.zeros((SIDE, SIDE), bool)
        said = ellipse(centre + rng.normal(0, 10, 2), radius * rng.uniform(0.8, 1.2, 2))
        said |= ellipse(rng.uniform(20, 490, 2), np.full(2, 6.0))
        probs = dict(zip(CLASSES, map(float, rng.dirichlet(np.ones(3))), strict=True))
        likeliest = max(probs, key=probs.__getitem__)
        finding = Prediction(probs, likeliest, likeliest, said, said, said, int(said.sum()), None)
        names = {"image": f"{label}/{i}.png", "masks": "", "pixel_sha256": str(i), "label": label}
        sides = {"group": str(i), "split": "test", "height": SIDE, "width": SIDE}
        yield PreparedImage.model_validate(names | sides), finding, truth


def ellipse(centre: np.ndarray, radius: np.ndarray) -> Mask:
    """A filled ellipse."""
    y, x = np.ogrid[:SIDE, :SIDE]
    inside = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1
    return np.asarray(inside)


def memory() -> float:
    """The largest resident size so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
