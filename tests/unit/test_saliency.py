"""Class evidence: its derivative against differences, and its share against a count by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_store import CLASSES, SIZE, params, small_store
from torch import nn

from hgmnet.config.data import Prepare
from hgmnet.evaluation.saliency import COLUMNS, evidence, figures, share, shares
from hgmnet.models.hgmnet import HGMNet, NetworkOutput
from hgmnet.models.spec import FORMAT, Seen, Spec


def spec(**model) -> Spec:
    settings = params().model
    settings = type(settings).model_validate(settings.model_dump() | model)
    nothing = Seen(train=(), val=(), groups=(), parent=())
    return Spec(
        format=FORMAT,
        model=settings,
        prepare=Prepare(side=SIZE, fit="stretch"),
        classes=CLASSES,
        mean=0.4,
        std=0.2,
        data="phantom",
        seed=0,
        fingerprint="f",
        parent=None,
        seen=nothing,
    )


def network(of: Spec) -> HGMNet:
    torch.manual_seed(0)
    return HGMNet(of.model, len(of.classes)).eval()


class Linear(nn.Module):
    """Class logits that are weighted sums of the pixels, times the coarse map if there is one.

    The map is the pixels' own sigmoid.
    """

    def __init__(self, weights, *, coarse):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float32))
        self.model = spec(coarse=coarse, **({} if coarse else {"gate": "none"})).model

    def forward(self, image):
        seen = image
        if self.model.coarse:
            prob = image.sigmoid()
            seen = image * (prob.detach() if self.model.detach_coarse else prob)
        logits = torch.einsum("bxhw,chw->bc", seen, self.weights)
        return NetworkOutput(image, image, logits, (), ())


def test_evidence_is_the_derivative_of_the_log_odds_of_the_class_said():
    weights = np.zeros((2, 2, 2))
    weights[0, 0] = (3, -1)
    weights[1, 1] = (0, 2)
    square = np.array([[[200, 110], [100, 104]]], np.uint8)
    moved = evidence(Linear(weights, coarse=False), spec(), square)
    assert moved[0] == pytest.approx(np.array([[3, 1], [0, 2]]), rel=1e-5)  # two classes: l0 - l1


def test_evidence_goes_through_the_coarse_map_though_training_does_not():
    weights = np.zeros((2, 1, 1))
    weights[0] = 3
    square = np.array([[[143]]], np.uint8)
    x = (143 / 255 - 0.4) / 0.2
    p = 1 / (1 + np.exp(-x))
    expected = 3 * (p + x * p * (1 - p))  # d(x sigmoid(x)) / dx
    net = Linear(weights, coarse=True)
    assert net.model.detach_coarse
    moved = evidence(net, spec(), square)
    assert moved.item() == pytest.approx(expected, rel=1e-4)
    assert net.model.detach_coarse


def test_evidence_of_a_network_agrees_with_differences():
    of = spec()
    net = network(of)
    square = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE), dtype=np.uint8)
    moved = evidence(net, of, square)
    assert moved.shape == square.shape
    assert moved.min() >= 0

    def log_odds(image):
        with torch.no_grad():
            first = net(image)
            logits = net(image, first.coarse_mask_logits.sigmoid()).class_logits[0].double()
        said = logits.argmax()
        return (logits[said] - logits[torch.arange(3) != said].logsumexp(0)).item()

    net.double()
    image = (torch.from_numpy(square[:, None]).double() / 255 - of.mean) / of.std
    for row, column in ((3, 4), (16, 16), (30, 9)):
        step = torch.zeros_like(image)
        step[0, 0, row, column] = 1e-4
        slope = abs(log_odds(image + step) - log_odds(image - step)) / 2e-4
        assert moved[0, row, column] == pytest.approx(slope, rel=0.02, abs=1e-5)


def test_an_image_has_the_evidence_it_has_alone():
    of = spec()
    net = network(of)
    square = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8)
    together = evidence(net, of, square)
    alone = np.concatenate([evidence(net, of, one[None]) for one in square])
    assert together == pytest.approx(alone, rel=1e-3, abs=1e-6)


def test_a_share_is_counted_within_the_frame():
    moved = np.array([[1, 2, 9], [3, 4, 9]], np.float32)
    lesion = np.array([[True, False, True], [False, False, False]])
    frame = np.array([[True, True, False]] * 2)
    found = share(moved, lesion, frame)
    assert (found.inside, found.chance) == (pytest.approx(0.1), 0.25)
    assert found.row == {"evidence_inside": 0.1, "evidence_chance": 0.25}


@given(st.integers(0, 2**32 - 1))
def test_evidence_spread_evenly_lies_inside_as_by_chance(seed):
    lesion = np.random.default_rng(seed).random((6, 6)) < 0.4
    found = share(np.full((6, 6), 0.3, np.float32), lesion, np.ones((6, 6), bool))
    assert found is None or found.inside == pytest.approx(found.chance, abs=1e-6)


def test_without_a_lesion_or_without_evidence_there_is_no_share():
    whole, none = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    assert share(np.ones((2, 2), np.float32), none, whole) is None
    assert share(np.zeros((2, 2), np.float32), whole, whole) is None


def test_shares_of_a_store_are_those_of_each_lesion(tmp_path):
    of, store = spec(), small_store(tmp_path)
    net = network(of)
    judged = [e for e in store.entries if e.split != "train"]
    found = shares(net, of, store, judged)
    assert set(found) == {e.image for e in judged}
    for row, entry in enumerate(store.entries):
        if entry not in judged:
            continue
        if entry.label == "normal":
            assert found[entry.image] is None
            continue
        moved = evidence(net, of, store.images[row : row + 1].copy())[0]
        inside = moved[8:20, 10:22].sum() / moved.sum()
        assert found[entry.image].inside == pytest.approx(inside, rel=1e-3)
        assert found[entry.image].chance == 144 / SIZE**2


def test_a_model_without_classes_has_no_shares(tmp_path):
    of, store = spec(tasks="segmentation"), small_store(tmp_path)
    assert set(shares(network(of), of, store, store.entries).values()) == {None}


def test_figures_are_means_with_the_difference_paired():
    table = pd.DataFrame(
        {
            "group": ["a", "b", "c"],
            "evidence_inside": [0.5, 0.3, None],
            "evidence_chance": [0.1, 0.2, None],
        }
    )
    found = figures(table, draws=100, seed=0)
    assert list(found) == [*COLUMNS, "evidence_above_chance"]
    assert [f.value for f in found.values()] == pytest.approx([0.4, 0.15, 0.25])
    assert {(f.n, f.groups) for f in found.values()} == {(2, 2)}
    assert figures(table.drop(columns="evidence_inside"), 100, 0) == {}
    assert figures(table[2:], 100, 0) == {}


def test_log_odds_do_not_change_with_what_all_logits_share():
    weights = np.zeros((3, 1, 1))
    weights[0] = 2
    square = np.full((1, 1, 1), 255, np.uint8)
    one = evidence(Linear(weights, coarse=False), spec(), square)
    assert evidence(Linear(weights + 5, coarse=False), spec(), square) == pytest.approx(
        one, rel=1e-4
    )
    assert one.item() == pytest.approx(2.0)
