"""Networks of several seeds as one model: trained, stored, run and exported as one network."""

import numpy as np
import pytest
import torch
from small_store import network, params, small_store
from trained import same, train, weights

from hgmnet.evaluation.saliency import evidence
from hgmnet.inference.maps import infer_with
from hgmnet.inference.tta import forward_tta
from hgmnet.models.description import shape, summary
from hgmnet.models.ensemble import joined, members
from hgmnet.models.serialization import load_model, save_model
from hgmnet.training.fit import quiet_lightning

SMALL = {"epochs": 2, "members": 2}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A trained ensemble of two, its store and the epochs that were reported."""
    quiet_lightning()
    folder, reported = tmp_path_factory.mktemp("pair"), list[int]()
    store = small_store(folder / "store")
    trained = train(folder, store, on_epoch=lambda figures: reported.append(figures.epoch), **SMALL)
    return trained, store, reported


def test_each_member_is_the_network_of_its_own_seed(pair, tmp_path):
    trained, store, reported = pair
    for seed, member in enumerate(members(trained.network)):
        alone = train(tmp_path / str(seed), store, epochs=2, seed=params().train.seed + seed)
        assert same(member.state_dict(), weights(alone))
    assert reported == [1, 2, 3, 4]
    assert [figures.epoch for figures in trained.curves] == reported
    assert trained.spec.members == 2


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_an_interrupted_ensemble_resumes_in_the_member_where_it_stopped(epoch, pair, tmp_path):
    trained, store, _ = pair
    reported: list[int] = []

    def stop(figures):
        if figures.epoch == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, store, on_epoch=stop, **SMALL)
    resumed = train(tmp_path, store, on_epoch=lambda one: reported.append(one.epoch), **SMALL)
    assert reported == list(range(epoch, 5))
    assert same(weights(resumed), weights(trained))
    assert resumed.curves == trained.curves


def test_it_predicts_the_mean_of_its_members(pair):
    trained, store, _ = pair
    squares = np.array(store.images[:5])

    def run(net):
        return forward_tta(net, trained.spec, squares, mirror=True)

    whole, parts = run(trained.network), [run(one) for one in members(trained.network)]
    for name in ("mask_prob", "coarse_mask_prob", "class_logits"):
        mean = np.mean([getattr(part, name) for part in parts], axis=0)
        assert getattr(whole, name) == pytest.approx(mean, abs=1e-6)
    assert np.array_equal(whole.views, np.concatenate([part.views for part in parts], axis=1))


def test_its_forward_pass_is_that_mean_too(pair):
    network = pair[0].network
    image = torch.randn(2, 1, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, parts = network(image), [one(image) for one in members(network)]
    mean = sum(part.mask_logits.sigmoid() for part in parts) / len(parts)
    assert torch.allclose(whole.mask_logits.sigmoid(), mean, atol=1e-5)
    assert torch.allclose(whole.class_logits, sum(p.class_logits for p in parts) / 2, atol=1e-6)
    for gate, *own in zip(whole.gates, *(part.gates for part in parts), strict=True):
        assert torch.allclose(gate, sum(own) / 2, atol=1e-6)


def test_with_another_map_it_is_that_mean_too(pair):
    trained, store, _ = pair
    squares, truth = np.array(store.images[:5]), np.array(store.masks[:5])
    own, given = (
        infer_with(trained.network, trained.spec, squares, truth, kind, mirror=True)
        for kind in ("own", "truth")
    )
    parts = [
        infer_with(one, trained.spec, squares, truth, "truth", mirror=True)
        for one in members(trained.network)
    ]
    mean = np.mean([part.mask_prob for part in parts], axis=0)
    assert given.mask_prob == pytest.approx(mean, abs=1e-5)
    assert not np.allclose(given.mask_prob, own.mask_prob, atol=1e-3)
    assert given.views.shape == own.views.shape


def test_a_network_with_itself_is_that_network():
    one = network(deep_supervision=True).eval()
    image = torch.randn(2, 1, 32, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone, twice = one(image), joined([one, one])(image)
    assert torch.allclose(alone.mask_logits, twice.mask_logits, atol=1e-4)
    assert torch.allclose(alone.class_logits, twice.class_logits, atol=1e-6)
    for a, b in zip(
        alone.gates + alone.deep_mask_logits, twice.gates + twice.deep_mask_logits, strict=True
    ):
        assert torch.allclose(a, b, atol=1e-4)


def test_its_folder_gives_it_back(pair, tmp_path):
    trained, store, _ = pair
    save_model(tmp_path, trained.network, trained.spec)
    network, spec = load_model(tmp_path)
    assert spec == trained.spec
    assert same(network.state_dict(), weights(trained))
    moved = evidence(network, spec, np.array(store.images[:2]))
    assert moved.shape == store.images[:2].shape
    assert moved.any(axis=(1, 2)).all()
    assert all(one.model.detach_coarse == spec.model.detach_coarse for one in members(network))


def test_its_report_names_the_seeds(pair):
    spec = pair[0].spec
    first = params().train.seed
    assert (
        f"2 such networks, trained with seeds {first} to {first + 1}"
        in dict(shape(spec))["Ensemble"]
    )
    assert "The mean of 2 such networks" in summary(spec)
