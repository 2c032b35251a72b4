"""The operating point, from val alone: temperature, minimum area, malignant threshold."""

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from hgmnet.config import MALIGNANT, Calibrate, Model
from hgmnet.errors import InvalidDataError
from hgmnet.inference import Raw, softmax
from hgmnet.models.spec import Operating

MASK_THRESHOLD = 0.5
_TEMPERATURES = (0.2, 5.0)


def calibrate(
    raw: Raw,
    masks: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    classes: tuple[str, ...],
    shares: NDArray[np.float64],
    aim: Calibrate,
    model: Model,
    temperature: float | None = None,
) -> Operating:
    """Choose the operating point, as far as the model has one.

    A model for segmentation alone says the same of every image's class: its temperature stays 1,
    and there is no malignant threshold. One for classification alone has no minimum area (0).

    Args:
        raw: what the network says of the N val images.
        masks: truth, (N, S, S) in {0, 1}.
        labels: class indices, (N,).
        classes: their names.
        shares: how much of the square each image takes up, (N,) in (0, 1].
        aim: what to aim at.
        model: what the network learns.
        temperature: of the class logits; None: the likeliest is looked for.

    Raises:
        InvalidDataError: val holds no malignant image, and the model tells classes.
    """
    threshold = None
    if not model.classifies:
        temperature = 1.0
    else:
        temperature = temperature or fit_temperature(raw.class_logits, labels)
        malignant = classes.index(MALIGNANT)
        score = softmax(raw.class_logits / temperature)[:, malignant]
        threshold = threshold_for(_some(score[labels == malignant]), aim.malignant_sensitivity)
    area = minimum_area(raw.mask_prob >= MASK_THRESHOLD, masks > 0, shares)
    return Operating(
        temperature=temperature,
        mask_threshold=MASK_THRESHOLD,
        min_area=area if model.segments else 0.0,
        malignant_threshold=threshold,
        normal_means_no_mask=aim.normal_means_no_mask,
        mirror=aim.mirror,
    )


def _some(positives: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(positives):
        raise InvalidDataError(
            "val has no malignant image, so no threshold can be chosen; add images, or deal anew"
        )
    return positives


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature in [0.2, 5] at which the labels are likeliest (Guo et al., ICML 2017, 4.2).

    Args:
        logits: (N, C).
        labels: (N,).
    """

    def nll(log_temperature: float) -> float:
        probs = softmax(logits / np.float32(np.exp(log_temperature)))
        chosen = probs[np.arange(len(labels)), labels]
        return float(-np.log(np.clip(chosen, 1e-12, None)).mean())

    found = minimize_scalar(nll, bounds=tuple(np.log(_TEMPERATURES)), method="bounded")
    return float(np.exp(found.x))


def minimum_area(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], shares: NDArray[np.float64]
) -> float:
    """Half of the 2 % quantile of the areas of masks that meet their lesion, as shares of images.

    So specks go, and next to no lesion that was found is lost; 0 where none was found.
    """
    met = (predicted & truth).any(axis=(1, 2))
    areas = predicted[met].mean(axis=(1, 2)) / shares[met]
    return float(np.quantile(areas, 0.02) / 2) if len(areas) else 0.0


def threshold_for(scores: NDArray[np.float64], sensitivity: float) -> float:
    """A threshold that this share of the positives' scores passes, and not one more.

    It lies midway to the next lower score (or to 0), since the last digits of a score depend on
    the batch that an image is predicted in.
    """
    needed = ceil(sensitivity * len(scores) - 1e-9)
    falling = np.append(np.sort(scores)[::-1], 0.0)
    return float((falling[needed - 1] + falling[needed]) / 2)
