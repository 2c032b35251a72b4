"""Baselines without the image's content: a model's figures mean something only above these.

Majority class, the true lesion area alone, and image width and height alone; classifiers are
fitted on train and evaluated on the same images as the model.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from hgmnet.config.base import MALIGNANT
from hgmnet.data.prepared import PreparedDataset, class_indices
from hgmnet.metrics.bootstrap import Figure, GroupBootstrap, Mean
from hgmnet.metrics.classification import Auroc


def baselines(
    store: PreparedDataset, split: str, classes: Sequence[str], draws: int, seed: int
) -> dict[str, Figure]:
    """Figures on the images of `split`, named `<baseline>_<metric>`, with their 95 % intervals."""
    train, judged = store.rows("train"), store.rows(split)
    labels = class_indices([entry.label for entry in store.entries], classes)
    malignant = list(classes).index(MALIGNANT)
    truth = labels[judged]
    bootstrap = GroupBootstrap([store.entries[i].group for i in judged], draws, seed)
    found: dict[str, Figure] = {}

    def add(name: str, predicted: NDArray[np.int64]) -> None:
        right = Mean((predicted == truth).astype(float))
        found[f"{name}_accuracy"] = bootstrap.figure(right, proportion=True)

    majority = np.bincount(labels[train]).argmax()
    add("majority", np.full(len(judged), majority))
    areas = np.array([[float(mask.mean())] for mask in store.masks])
    sizes = np.array([[float(entry.height), float(entry.width)] for entry in store.entries])
    for name, feature in (("area", areas), ("size", sizes)):
        forest = RandomForestClassifier(200, min_samples_leaf=10, random_state=seed)
        forest.fit(feature[train], labels[train])
        add(name, forest.predict(feature[judged]))
        column = list(forest.classes_).index(malignant)
        score = forest.predict_proba(feature[judged])[:, column]
        ranked = Auroc(truth == malignant, score)
        found[f"{name}_auroc_malignant"] = bootstrap.figure(ranked, proportion=False)
    return found
