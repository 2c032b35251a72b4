"""Two processes, joined by gloo, that each see a part of a batch."""

from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import distributed, nn

Result = dict[str, torch.Tensor]
_FORKSERVER = get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["hgmnet.training.fit"])  # what takes seconds to import


def by_two(folder: Path, build: Callable[[], nn.Module], batch: torch.Tensor) -> list[Result]:
    """What `step` gives in each of two processes, assigned the batch's even and odd rows."""
    processes = [
        _FORKSERVER.Process(target=_one, args=(folder, rank, build, batch)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def step(layer: nn.Module, batch: torch.Tensor) -> Result:
    """Output, gradients of the sum of its cubes, and the layer's buffers after it."""
    torch.manual_seed(7)
    batch = batch.clone().requires_grad_()
    out = layer.train()(batch)
    (out**3).sum().backward()
    found = {"out": out.detach(), "input": batch.grad}
    found |= {name: parameter.grad for name, parameter in layer.named_parameters()}
    return found | dict(layer.named_buffers())


def _one(folder: Path, rank: int, build: Callable[[], nn.Module], batch: torch.Tensor) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    torch.save(step(build(), batch[rank::2]), folder / f"{rank}.pt")
    distributed.destroy_process_group()
