"""Another map in the coarse one's place: what comes out is what the network says of that map."""

import numpy as np
import pytest
import torch
from small_store import CLASSES, params

from hgmnet.inference.maps import _shuffled, infer_with
from hgmnet.inference.tta import forward_tta
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import normalise
from tests.tiny_repository import liven, spec

N, SIDE = 5, 32


@pytest.fixture(scope="module")
def asked():
    settings = params()
    torch.manual_seed(0)
    network = liven(HGMNet(settings.model, len(CLASSES))).eval()
    generator = np.random.default_rng(0)
    square = generator.integers(0, 256, (N, SIDE, SIDE), dtype=np.uint8)
    truth = np.zeros((N, SIDE, SIDE), dtype=np.uint8)
    truth[:, 8:20, 4:16] = 1
    return network, spec(settings, 0), square, truth


@pytest.mark.parametrize("mirror", [False, True])
def test_its_own_map_changes_nothing(asked, mirror):
    network, its, square, truth = asked
    own, plain = (
        infer_with(network, its, square, truth, "own", mirror=mirror),
        forward_tta(network, its, square, mirror=mirror),
    )
    assert np.array_equal(own.mask_prob, plain.mask_prob)
    assert np.array_equal(own.class_logits, plain.class_logits)


def test_the_truth_is_what_the_network_is_given(asked):
    network, its, square, truth = asked
    raw = infer_with(network, its, square, truth, "truth", mirror=False)
    image = normalise(torch.from_numpy(square), its)
    with torch.inference_mode():
        out = network(image, torch.from_numpy(truth).float().unsqueeze(1))
    assert np.allclose(raw.mask_prob, out.mask_logits.sigmoid().squeeze(1), atol=1e-6)
    assert np.allclose(raw.class_logits, out.class_logits, atol=1e-5)
    own = forward_tta(network, its, square, mirror=False)
    assert not np.allclose(raw.mask_prob, own.mask_prob, atol=1e-4)
    assert np.array_equal(raw.coarse_mask_prob, own.coarse_mask_prob)


def test_with_the_mirrored_view_image_and_map_are_mirrored_together(asked):
    network, its, square, truth = asked
    plain = infer_with(network, its, square, truth, "truth", mirror=False)
    flipped = infer_with(
        network, its, square[..., ::-1].copy(), truth[..., ::-1], "truth", mirror=False
    )
    both = infer_with(network, its, square, truth, "truth", mirror=True)
    expected = (plain.mask_prob + flipped.mask_prob[..., ::-1]) / 2
    assert np.allclose(both.mask_prob, expected, atol=1e-6)
    logits = (plain.class_logits + flipped.class_logits) / 2
    assert np.allclose(both.class_logits, logits, atol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 17])
def test_a_shuffled_map_is_every_map_once_and_nobodys_own(count):
    maps = np.arange(count, dtype=np.float32).reshape(-1, 1, 1)
    order = _shuffled(maps).ravel()
    assert sorted(order) == list(range(count))
    assert all(given != i for i, given in enumerate(order))
