"""What a training step costs on a device: measured, not reckoned."""

import resource
import sys
import time
from statistics import median

import torch

from hgmnet.config import Model, Train
from hgmnet.losses import joint_loss
from hgmnet.models.hgmnet import HGMNet
from hgmnet.planning import Cost, Precision

_STEPS = 3
_GIB = 2**30


def step_cost(
    model: Model, train: Train, classes: int, *, side: int, batch: int, precision: Precision
) -> Cost:
    """Run a few steps on random images.

    Args:
        model: the network's shape; its weights are random here.
        train: whose loss it is.
        classes: how many.
        side: of the images, px.
        batch: images a step.
        precision: as Lightning names it.

    Returns:
        Median seconds an image, and the peak memory: the GPU's, else this process's.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bare = model.model_copy(update={"encoder_weights": "none"})
    network = HGMNet(bare, classes).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters())
    image = torch.randn(batch, 1, side, side, device=device)
    mask = (image > 1).float()
    label = torch.randint(classes, (batch,), device=device)
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float16
    taken = []
    for _ in range(_STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype, enabled=precision != "32-true"):
            out = network(image)
        loss = joint_loss(out, mask, label, train.loss, model)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return Cost(median(taken) / batch, _peak(device))


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / _GIB
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _GIB
