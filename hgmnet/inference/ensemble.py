"""Several models of one shape as one: the mean of their calibrated probabilities."""

import hashlib
from collections.abc import Sequence

import numpy as np

from hgmnet.data.resize import Grey
from hgmnet.inference.postprocess import RawPrediction, softmax
from hgmnet.inference.predictor import Predictor
from hgmnet.models.spec import Operating

TEMPERATURE = 1.0  # of an ensemble: what it averages is calibrated


class EnsemblePredictor(Predictor):
    """Predicts by the mean of its members.

    Deep ensembles: Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017. Its identity is the sha256
    over its members' identities, in their order.
    """

    def __init__(self, members: Sequence[Predictor], operating: Operating) -> None:
        """Take loaded models, all seeing an image the same way, and the operating point of all."""
        identity = hashlib.sha256("".join(m.identity for m in members).encode()).hexdigest()
        super().__init__(members[0].spec, operating, identity)
        self.members = tuple(members)

    def predict_raw(self, squares: Grey) -> RawPrediction:
        """As `mean_prediction` of the members."""
        return mean_prediction(self.members, squares)


def mean_prediction(members: Sequence[Predictor], squares: Grey) -> RawPrediction:
    """What the members output on average for prepared images, (B, S, S) uint8.

    Each has the temperature that was chosen for it on val. The logarithms of the mean class
    probabilities are the `class_logits`: their softmax is that mean. `views`: of all members.
    """
    outputs = [(member.predict_raw(squares), member.operating.temperature) for member in members]
    probs = np.mean([softmax(raw.class_logits / t) for raw, t in outputs], axis=0)
    return RawPrediction(
        np.mean([raw.mask_prob for raw, _ in outputs], axis=0),
        np.mean([raw.coarse_mask_prob for raw, _ in outputs], axis=0),
        np.log(np.clip(probs, 1e-12, None)).astype(np.float32),
        np.concatenate([raw.views for raw, _ in outputs], axis=1),
    )
