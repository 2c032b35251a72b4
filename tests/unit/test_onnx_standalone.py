"""The reader that is written beside an export says what the library says, rule by rule."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import CLASSES, params

from hgmnet.data.resize import resize_to_input
from hgmnet.inference.onnx import describe
from hgmnet.inference.postprocess import RawPrediction, postprocess
from hgmnet.inference.predictor import Predictor
from hgmnet.models.spec import FORMAT, Operating, Seen, Spec

pytest.importorskip("onnxruntime")

from hgmnet.inference import onnx_standalone

SIDE = 32


class Known(Predictor):
    """What is known of a model; it is never run."""

    def predict_raw(self, squares):
        raise NotImplementedError


@cache
def spec(fit, classes):
    prepare = params().prepare.model_copy(update={"fit": fit, "side": SIDE})
    return Spec(
        format=FORMAT,
        model=params().model,
        prepare=prepare,
        classes=classes,
        mean=0.4,
        std=0.2,
        data="phantom",
        seed=0,
        fingerprint="f",
        parent=None,
        seen=Seen(train=("secret",), val=(), groups=(), parent=()),
    )


class Session:
    """Answers whatever it was told to, and notes what it was asked."""

    def __init__(self, finder, raw):
        self.known = describe(finder, "fp32")
        self.answers = {"mask_prob": raw.mask_prob, "class_logits": raw.class_logits}

    def get_modelmeta(self):
        return SimpleNamespace(custom_metadata_map=self.known)

    def run(self, names, inputs):
        (self.square,) = inputs["square"]
        return [self.answers[name] for name in names]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    fit=st.sampled_from(["stretch", "letterbox"]),
    shape=st.tuples(st.integers(3, 90), st.integers(3, 90)),
    classes=st.sampled_from([CLASSES, CLASSES[:2]]),
    bounds=st.tuples(st.sampled_from([None, 0.2, 0.5, 0.9]), st.sampled_from([0.0, 0.3, 0.9])),
    rules=st.tuples(st.booleans(), st.booleans()),
)
def test_it_finds_what_the_library_finds(*, seed, fit, shape, classes, bounds, rules):
    generator = np.random.default_rng(seed)
    operating = Operating(
        temperature=float(generator.uniform(0.5, 2)),
        mask_threshold=float(generator.uniform(0.2, 0.8)),
        min_area=bounds[1],
        malignant_threshold=bounds[0],
        normal_means_no_mask=rules[0],
        no_mask_means_normal=rules[1],
        mirror=False,
    )
    prob = generator.random((1, SIDE, SIDE), dtype=np.float32)
    logits = generator.normal(0, 2, (1, len(classes))).astype(np.float32)
    raw = RawPrediction(prob, prob, logits, prob[:, None].astype(np.float16))
    told = spec(fit, classes)
    session = Session(Known(told, operating, "0"), raw)
    grey = generator.integers(0, 256, shape, dtype=np.uint8)
    said, mask = onnx_standalone.find(session, grey)
    finding = postprocess(raw, 0, grey.shape, told, operating)
    np.testing.assert_array_equal(session.square, resize_to_input(grey, told.prepare))
    np.testing.assert_array_equal(mask, finding.mask)
    assert said["decision"] == finding.decision
    assert said["lesion_area_px"] == finding.lesion_area
    assert said["probs"] == pytest.approx(finding.probs, abs=1e-12)


def test_the_metadata_do_not_tell_what_the_model_has_seen():
    operating = Operating(
        temperature=1.0,
        mask_threshold=0.5,
        min_area=0.0,
        malignant_threshold=0.5,
        normal_means_no_mask=True,
        mirror=False,
    )
    known = describe(Known(spec("stretch", CLASSES), operating, "0"), "int8")
    assert "secret" not in str(known)
    assert (known["precision"], known["format"]) == ("int8", "1")
