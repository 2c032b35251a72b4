"""Layers whose statistics and random draws cover the whole batch of several processes.

On GPUs batch norm is torch's SyncBatchNorm, inserted by timm's converter: Lightning's own
(`sync_batchnorm=True`) drops the activation of timm's batch norm layers. SyncBatchNorm refuses
CPU tensors, so on CPUs the layers here replace it. Several processes then train the same weights
as one, which the tests check.
"""

from typing import cast

import torch
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional

from hgmnet.models.hgmnet import HGMNet


def synchronise(network: HGMNet, side: int, *, cuda: bool) -> None:
    """Prepare a new network for several processes, in place; its tensors keep their names.

    `network`: in training mode, for images of `side` px.
    """
    freeze_unused(network, side)
    for module in network.modules():
        if type(module) is nn.Dropout:
            module.__class__ = SharedDropout
        elif not cuda and type(module) in _ALONE:
            module.__class__ = _ALONE[type(module)]
    if cuda:
        convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]


def freeze_unused(network: HGMNet, side: int) -> None:
    """Freeze the parameters that no loss reaches: DDP would wait for their gradient.

    Some encoders have them. It is cheaper than `find_unused_parameters`, which searches each step.
    """
    out = network.eval()(torch.zeros(1, 1, side, side))
    said = (out.coarse_mask_logits, out.mask_logits, out.class_logits, *out.deep_mask_logits)
    reached = torch.stack([logits.sum() for logits in said if logits.requires_grad])
    torch.autograd.backward(reached.sum())
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.grad is not None)
    network.train().zero_grad()


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes; for one process it is torch's own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Normalise (B, C, H, W)."""
        if self.training and distributed.is_initialized():
            return _normalise(self, input)
        return super().forward(input)


class SharedBatchNormAct(BatchNormAct2d):
    """`SharedBatchNorm` for timm's batch norm with dropout and activation after it."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and activate (B, C, H, W)."""
        if self.training and distributed.is_initialized():
            return cast("Tensor", self.act(self.drop(_normalise(self, x))))
        return cast("Tensor", super().forward(x))  # type: ignore[no-untyped-call]


class SharedDropout(nn.Dropout):
    """Draws for the whole batch, of which a process has every n-th row; for one process torch's."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Apply dropout to (B, ...)."""
        if not self.training or not distributed.is_initialized():
            return super().forward(input)
        rank, processes = distributed.get_rank(), distributed.get_world_size()
        whole = input.new_ones(processes * len(input), *input.shape[1:])
        return input * functional.dropout(whole, self.p)[rank::processes]


def _normalise(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise (B, C, H, W), mean before variance; running statistics update as in torch."""
    own = torch.cat([x.sum((0, 2, 3)), x.new_tensor([x[:, 0].numel()])])
    total = _sum_over_processes(own)
    count = total[-1]
    mean = total[:-1] / count
    centred = x - mean[:, None, None]
    var = _sum_over_processes((centred**2).sum((0, 2, 3))) / count
    if layer.running_mean is not None and layer.running_var is not None and layer.momentum:
        layer.running_mean.lerp_(mean.detach(), layer.momentum)
        layer.running_var.lerp_((var * count / (count - 1)).detach(), layer.momentum)
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked += 1
    scale = layer.weight * torch.rsqrt(var + layer.eps)
    return centred * scale[:, None, None] + layer.bias[:, None, None]


def _sum_over_processes(own: Tensor) -> Tensor:
    """Sum over processes, differentiably: the gradient is summed too."""
    return cast("Tensor", all_reduce(own))  # type: ignore[no-untyped-call]


_ALONE: dict[type, type] = {nn.BatchNorm2d: SharedBatchNorm, BatchNormAct2d: SharedBatchNormAct}
