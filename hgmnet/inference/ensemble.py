"""Several models of one shape as one: the mean of their calibrated probabilities."""

import hashlib
from collections.abc import Sequence

import numpy as np

from hgmnet.data.resize import Grey
from hgmnet.inference.postprocess import Finding, Raw, softmax
from hgmnet.inference.predictor import Predictor, stream
from hgmnet.models.spec import Operating

TEMPERATURE = 1.0
"""Of an ensemble: what it averages is calibrated."""


class Ensemble:
    """Finds as a `Predictor` does, by the mean of its members.

    Deep ensembles: Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017.
    """

    def __init__(self, members: Sequence[Predictor], operating: Operating) -> None:
        """Take loaded models, all seeing an image the same way, and the operating point of all."""
        self.members = tuple(members)
        self.spec = members[0].spec
        self.operating = operating

    @property
    def identity(self) -> str:
        """The sha256 over its members' identities, in their order."""
        return hashlib.sha256("".join(m.identity for m in self.members).encode()).hexdigest()

    def predict(self, images: Sequence[Grey], batch_size: int = 16) -> list[Finding]:
        """Find in each image, grey (H, W) uint8 of any size."""

        def look(square: Grey) -> Raw:
            return look_together(self.members, square)

        return list(stream(look, self.spec, self.operating, images, batch_size))


def look_together(members: Sequence[Predictor], square: Grey) -> Raw:
    """What the members say of prepared images on average.

    Args:
        members: each with the temperature that it was given on val.
        square: (B, S, S) uint8.

    Returns:
        Mean mask probabilities, and as `class_logits` the logarithms of the mean class
        probabilities: their softmax is that mean. `views` are those of all members.
    """
    said = [(member.look(square), member.operating.temperature) for member in members]
    probs = np.mean([softmax(raw.class_logits / t) for raw, t in said], axis=0)
    return Raw(
        np.mean([raw.mask_prob for raw, _ in said], axis=0),
        np.mean([raw.coarse_mask_prob for raw, _ in said], axis=0),
        np.log(np.clip(probs, 1e-12, None)).astype(np.float32),
        np.concatenate([raw.views for raw, _ in said], axis=1),
    )
