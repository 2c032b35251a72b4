"""Layers of two real processes against torch's own on the whole batch; what no loss reaches."""

from functools import partial

import pytest
import torch
from small_store import params
from timm.layers.norm_act import BatchNormAct2d
from together import by_two, step
from torch import nn

from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.sync_batchnorm import (
    SharedBatchNorm,
    SharedBatchNormAct,
    SharedDropout,
    freeze_unused,
    synchronise,
)
from hgmnet.training.losses import joint_loss


@pytest.mark.parametrize(
    ("own", "shared"), [(nn.BatchNorm2d, SharedBatchNorm), (BatchNormAct2d, SharedBatchNormAct)]
)
def test_batch_norm_of_two_processes_is_that_of_the_whole_batch(own, shared, tmp_path):
    """Three images here and two there."""
    batch = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0)) * 3 + 10
    parts = by_two(tmp_path, partial(shared, 4), batch)
    whole = step(own(4), batch)
    for name in ("out", "input"):
        assigned = torch.empty_like(whole[name])
        assigned[0::2], assigned[1::2] = (part[name] for part in parts)
        torch.testing.assert_close(assigned, whole[name], rtol=1e-4, atol=1e-4)
    for name in ("weight", "bias"):
        torch.testing.assert_close(sum(p[name] for p in parts), whole[name], rtol=1e-4, atol=1e-4)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        for part in parts:
            torch.testing.assert_close(part[name], whole[name])


def test_dropout_of_two_processes_is_that_of_the_whole_batch(tmp_path):
    batch = torch.rand(6, 50) + 1
    parts = by_two(tmp_path, partial(SharedDropout, 0.4), batch)
    whole = step(nn.Dropout(0.4), batch)
    for rank, part in enumerate(parts):
        torch.testing.assert_close(part["out"], whole["out"][rank::2])


def test_a_synchronised_network_alone_is_what_it_was():
    model = params().model.model_copy(update={"encoder": "tu-test_efficientnet"})
    torch.manual_seed(0)
    plain = HGMNet(model, 3)
    torch.manual_seed(0)
    shared = HGMNet(model, 3)
    synchronise(shared, 32, cuda=False)
    kinds = {type(module) for module in shared.modules()}
    assert {SharedBatchNorm, SharedBatchNormAct, SharedDropout} <= kinds
    assert not {nn.BatchNorm2d, BatchNormAct2d, nn.Dropout} & kinds
    one, two = plain.state_dict(), shared.state_dict()
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)
    image = torch.randn(2, 1, 32, 32)
    for network in (plain, shared):
        torch.manual_seed(0)
        network.train()(image)
    assert torch.equal(plain.eval()(image).mask_logits, shared.eval()(image).mask_logits)


def test_on_gpus_every_batch_norm_becomes_one_over_all_and_keeps_its_activation():
    network = HGMNet(params().model.model_copy(update={"encoder": "tu-test_efficientnet"}), 3)
    before = network.eval()(torch.ones(1, 1, 32, 32))
    synchronise(network, 32, cuda=True)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    after = network.eval()(torch.ones(1, 1, 32, 32))
    torch.testing.assert_close(after.mask_logits, before.mask_logits)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gate": "self"},
        {"gate": "free", "deep_supervision": True},
        {"tasks": "segmentation", "shared_encoder": True},
        {"tasks": "classification", "coarse": False, "gate": "none"},
    ],
)
def test_a_parameter_is_trained_where_and_only_where_the_loss_reaches_it(change):
    settings = params()
    model = settings.model.model_copy(update={"encoder": "tu-test_resnet"} | change)
    network = HGMNet(model, 3)
    network.extra = nn.Linear(1, 1)
    freeze_unused(network, 32)
    assert network.training
    assert not network.extra.weight.requires_grad
    mask, label = torch.zeros(2, 1, 32, 32), torch.tensor([0, 1])
    out = network(torch.randn(2, 1, 32, 32))
    joint_loss(out, mask, label, settings.train.loss, model).backward()
    for parameter in network.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
