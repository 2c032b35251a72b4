"""Ensemble of models of one architecture: the mean of their calibrated probabilities."""

import hashlib
from collections.abc import Sequence

import numpy as np

from hgmnet.data.resize import Grey
from hgmnet.inference.postprocess import RawPrediction, softmax
from hgmnet.inference.predictor import Predictor
from hgmnet.models.spec import Operating

TEMPERATURE = 1.0  # of an ensemble: the probabilities that it averages are calibrated


class EnsemblePredictor(Predictor):
    """Ensemble: predicts the mean of its members' outputs.

    Deep ensembles: Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017. `identity`: the sha256
    over its members' identities, in their order.
    """

    def __init__(self, members: Sequence[Predictor], operating: Operating) -> None:
        """Take loaded models with equal preprocessing, and the ensemble's operating point."""
        identity = hashlib.sha256("".join(m.identity for m in members).encode()).hexdigest()
        super().__init__(members[0].spec, operating, identity)
        self.members = tuple(members)

    def predict_raw(self, squares: Grey) -> RawPrediction:
        """Return `mean_prediction` of the members for images (B, S, S) uint8."""
        return mean_prediction(self.members, squares)


def mean_prediction(members: Sequence[Predictor], squares: Grey) -> RawPrediction:
    """Return the members' mean output for prepared images, (B, S, S) uint8.

    Each member uses the temperature fitted for it on val. `class_logits` are the logarithms of
    the mean class probabilities, so their softmax is that mean. `views`: of all members.
    """
    outputs = [(member.predict_raw(squares), member.operating.temperature) for member in members]
    probs = np.mean([softmax(raw.class_logits / t) for raw, t in outputs], axis=0)
    return RawPrediction(
        np.mean([raw.mask_prob for raw, _ in outputs], axis=0),
        np.mean([raw.coarse_mask_prob for raw, _ in outputs], axis=0),
        np.log(np.clip(probs, 1e-12, None)).astype(np.float32),
        np.concatenate([raw.views for raw, _ in outputs], axis=1),
    )
