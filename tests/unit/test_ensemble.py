"""Several models as one: the mean of what each says by its own temperature."""

import numpy as np
import pytest
from small_repository import make_repository, put_model

from hgmnet.inference.ensemble import EnsemblePredictor, mean_prediction
from hgmnet.inference.postprocess import RawPrediction, softmax
from hgmnet.inference.predictor import TorchPredictor
from pipelines.stages import calibrate

LOGITS = np.array([[2.0, 0.0, 0.0]], np.float32), np.array([[0.0, 3.0, 1.0]], np.float32)


class Said:
    """A member that says the same of every image."""

    def __init__(self, mask: float, logits: np.ndarray, operating):
        self.mask, self.logits, self.operating = mask, logits, operating

    def predict_raw(self, square):
        mask = np.full(square.shape, self.mask, np.float32)
        return RawPrediction(mask, mask / 2, self.logits, mask[:, None].astype(np.float16))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    space = make_repository(tmp_path_factory.mktemp("ensemble"))
    params = put_model(space)
    calibrate.run(space.root, params.data, params.calibrate)
    return TorchPredictor.load(space.model)


def test_probabilities_are_averaged_after_each_members_own_temperature(predictor):
    hot = predictor.operating.model_copy(update={"temperature": 2.0})
    cold = predictor.operating.model_copy(update={"temperature": 0.5})
    members = Said(0.2, LOGITS[0], hot), Said(0.7, LOGITS[1], cold)
    raw = mean_prediction(members, np.zeros((1, 4, 4), np.uint8))
    expected = (softmax(LOGITS[0] / 2) + softmax(LOGITS[1] * 2)) / 2
    assert softmax(raw.class_logits) == pytest.approx(expected, abs=1e-6)
    assert raw.mask_prob == pytest.approx(np.full((1, 4, 4), 0.45))
    assert raw.coarse_mask_prob == pytest.approx(np.full((1, 4, 4), 0.225))
    assert raw.views.shape == (1, 2, 4, 4)
    assert raw.views[0, :, 0, 0] == pytest.approx([0.2, 0.7], abs=1e-3)


def test_a_model_with_itself_says_what_it_says_alone(predictor):
    point = predictor.operating.model_copy(update={"temperature": 1.0})
    both = EnsemblePredictor([predictor, predictor], point)
    images = [np.random.default_rng(i).integers(0, 256, (40 + i, 50), np.uint8) for i in range(3)]
    for one, two in zip(predictor.predict(images), both.predict(images), strict=True):
        assert two.probs == pytest.approx(one.probs, abs=1e-5)
        assert (one.raw_mask == two.raw_mask).all()
        assert two.mask_disagreement == pytest.approx(one.mask_disagreement)
    assert both.identity not in {predictor.identity, EnsemblePredictor([predictor], point).identity}
