import pytest
import torch
from small_store import params
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from hgmnet.models.hgmnet import HGMNet
from hgmnet.training.lightning_module import ExponentialMovingAverage


@pytest.fixture
def network():
    torch.manual_seed(0)
    return HGMNet(params().model, 3)


def shake(network, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape, generator=generator))
            else:
                tensor.add_(1)


def test_it_is_the_average_that_torch_computes(network):
    ours = ExponentialMovingAverage(network, 0.9)
    reference = AveragedModel(network, avg_fn=get_ema_avg_fn(0.9), use_buffers=True)
    for step in range(1, 5):
        shake(network, step)
        ours.update(network, step)
        reference.update_parameters(network)
    expected = reference.module.state_dict()
    for name, value in ours.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
        else:
            assert value == network.state_dict()[name]  # torch averages counters


def test_without_decay_it_is_the_network(network):
    ours = ExponentialMovingAverage(network, 0.0)
    for step in (1, 2):
        shake(network, step)
        ours.update(network, step)
        expected = network.state_dict()
        assert all(torch.equal(v, expected[k]) for k, v in ours.module.state_dict().items())


def test_the_optimiser_has_no_hold_on_it(network):
    assert not any(
        parameter.requires_grad for parameter in ExponentialMovingAverage(network, 0.9).parameters()
    )
    assert all(parameter.requires_grad for parameter in network.parameters())
