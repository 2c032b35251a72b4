"""Ensemble of models of one architecture: the mean of their calibrated probabilities."""

import hashlib
from collections.abc import Sequence

import numpy as np

from hgmnet.data.resize import Grey
from hgmnet.inference.postprocess import RawPrediction, softmax
from hgmnet.inference.predictor import Predictor
from hgmnet.models.spec import Operating

TEMPERATURE = 1.0
"""Temperature of an ensemble: its members are calibrated already."""


class EnsemblePredictor(Predictor):
    """Predicts by the mean of its members.

    Deep ensembles: Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017. Its identity is the sha256
    over its members' identities, in their order.
    """

    def __init__(self, members: Sequence[Predictor], operating: Operating) -> None:
        """Store loaded models with equal input settings, and their common operating point."""
        identity = hashlib.sha256("".join(m.identity for m in members).encode()).hexdigest()
        super().__init__(members[0].spec, operating, identity)
        self.members = tuple(members)

    def predict_raw(self, squares: Grey) -> RawPrediction:
        """See `mean_prediction`."""
        return mean_prediction(self.members, squares)


def mean_prediction(members: Sequence[Predictor], squares: Grey) -> RawPrediction:
    """Average the members' outputs for prepared images.

    Args:
        members: models, each with its temperature chosen on val.
        squares: (B, S, S) uint8.

    Returns:
        Mean mask probabilities, and as `class_logits` the logarithms of the mean class
        probabilities: their softmax is that mean. `views` are those of all members.
    """
    outputs = [(member.predict_raw(squares), member.operating.temperature) for member in members]
    probs = np.mean([softmax(raw.class_logits / t) for raw, t in outputs], axis=0)
    return RawPrediction(
        np.mean([raw.mask_prob for raw, _ in outputs], axis=0),
        np.mean([raw.coarse_mask_prob for raw, _ in outputs], axis=0),
        np.log(np.clip(probs, 1e-12, None)).astype(np.float32),
        np.concatenate([raw.views for raw, _ in outputs], axis=1),
    )
