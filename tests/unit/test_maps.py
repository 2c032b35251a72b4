"""Maps are those of the network, averaged over the mirror, and cut to where the image lies."""

import numpy as np
import pytest
import torch
from small_store import SIZE

from hgmnet.config.data import Prepare
from hgmnet.inference.maps import cropped, maps, spread
from hgmnet.inference.tta import forward_tta
from tests.unit.test_saliency import network, spec


@pytest.fixture(scope="module")
def seen():
    of = spec()
    square = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE), dtype=np.uint8)
    return network(of), of, square


@pytest.mark.parametrize("mirror", [True, False])
def test_probabilities_are_those_of_inference(seen, mirror):
    found, raw = maps(*seen, mirror=mirror), forward_tta(*seen, mirror=mirror)
    assert found.mask_prob == pytest.approx(raw.mask_prob, abs=1e-6)
    assert found.coarse_mask_prob == pytest.approx(raw.coarse_mask_prob, abs=1e-6)


def test_gates_come_finest_first_and_within_zero_and_one(seen):
    gates = maps(*seen, mirror=True).gates
    assert [gate.shape for gate in gates] == [(2, SIZE >> i, SIZE >> i) for i in range(1, 6)]
    assert all(gate.min() >= 0 and gate.max() <= 1 for gate in gates)


def test_the_maps_of_a_mirrored_image_are_the_maps_mirrored(seen):
    net, of, square = seen
    flipped = maps(net, of, np.ascontiguousarray(square[:, :, ::-1]), mirror=True)
    there = maps(net, of, square, mirror=True)
    assert flipped.gates[0][:, :, ::-1] == pytest.approx(there.gates[0], abs=1e-5)
    assert not torch.is_inference_mode_enabled()


def test_a_letterboxed_map_is_cut_to_the_image():
    of = spec().model_copy(update={"prepare": Prepare(side=64, fit="letterbox")})
    gate = np.zeros((4, 4), np.float32)
    gate[1, :2], gate[2, :2] = 0.25, 0.75  # the image of 100 x 200 lies on rows 16 to 48 of 64
    found = cropped(gate, 100, 200, of)
    assert found.shape == (32, 64)
    assert np.unique(found[:16, :32]) == 0.25
    assert np.unique(found[16:, :32]) == 0.75
    assert not found[:, 32:].any()


def test_a_stretched_map_is_kept_whole():
    of = spec()
    gate = np.arange(4, dtype=np.float32).reshape(2, 2)
    found = cropped(gate, 77, 30, of)
    assert found.shape == (SIZE, SIZE)
    assert (found[0, 0], found[-1, -1]) == (0, 3)


def test_the_spread_of_views_is_their_largest_value_less_their_least():
    views = np.zeros((2, 3, 2, 2), np.float16)
    views[0, :, 0, 1] = 0.25, 1.0, 0.5
    views[1] = 0.5  # all alike
    assert spread(views).tolist() == [[[0, 0.75], [0, 0]], [[0, 0], [0, 0]]]
    assert not spread(views[:, :1]).any()
