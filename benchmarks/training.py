"""How fast a training step is: `python benchmarks/training.py [--profile P] [--seconds 120]`.

Three ways to train the same network on the same random images, in turn in one process:

    ours     the HGMNetModule under Lightning's Trainer, as `hgmnet.training.fit.fit` has it
    plain    as a user would write it: DataLoader, torchvision's v2 transforms on the CPU, float32
    ceiling  forward, backward and optimiser step alone, on images that lie on the device

`ours` should be at least 3 times `plain` on a GPU and no slower on a CPU; and at least 85 % of the
ceiling on a GPU, 90 % on a CPU. No data set is needed.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from measuring import (
    DEVICE,
    ROOT,
    Clock,
    head_line,
    median,
    memory_alone,
    now,
    peak_flops,
    peak_memory,
    random_store,
    ratio,
    step_flops,
)
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from hgmnet.config.params import Params, load_params
from hgmnet.config.training import Augment
from hgmnet.data.prepared import PreparedDataset
from hgmnet.models.hgmnet import HGMNet
from hgmnet.training.batches import InMemorySource
from hgmnet.training.fit import build_trainer, quiet_lightning
from hgmnet.training.lightning_module import HGMNetModule
from hgmnet.training.losses import joint_loss
from pipelines.studies.cost_estimate import untrained_spec

MEAN, STD = 0.449, 0.226  # greys of ImageNet

IMAGES, ENDLESS, PREFETCH = 512, 1_000, 2
WARM = 10 if DEVICE.type == "cuda" else 1
FEW = 2
Step = Callable[[], object]


def main() -> None:
    """Measure, print."""
    words = arguments()
    quiet_lightning()
    params = settings(words)
    store = random_store(IMAGES, params.prepare.side, params.data.classes)
    make: dict[str, Callable[[], Step]] = {
        "plain": lambda: plain(params, store, words.workers),
        "ceiling": lambda: ceiling(params, store, compiled=params.train.compile),
    }
    if words.alone:
        alone(make.get(words.alone), params, store)
        print(peak_memory())
        return
    rivals = {name: made() for name, made in make.items()}
    buffered = words.workers * PREFETCH
    turns = Turns(rivals, {"plain": buffered, "ceiling": 0}, words.seconds)
    build_trainer(params.train, turns).fit(learner(params, store))
    report(turns.clocks, params)


def arguments() -> argparse.Namespace:
    """The command's words."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--profile", default="busi" if DEVICE.type == "cuda" else "busi-cpu-scratch"
    )
    parser.add_argument("--side", type=int, help="px; else the profile's")
    parser.add_argument("--batch", type=int, help="images; else the profile's")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--compile", action="store_true", help="ours and the ceiling, both")
    workers = 8 if DEVICE.type == "cuda" else 0
    parser.add_argument("--workers", type=int, default=workers, help="of the plain DataLoader")
    parser.add_argument("--alone", choices=["ours", "plain", "ceiling"], help="for its memory")
    return parser.parse_args()


def settings(words: argparse.Namespace) -> Params:
    """The profile, with random weights and what the words change."""
    params = load_params(ROOT / "profiles" / f"{words.profile}.yaml")
    side, batch = words.side or params.prepare.side, words.batch or params.train.batch_size
    changed = {"batch_size": batch, "epochs": 1}
    changed |= {"compile": True} if words.compile else {}
    return params.model_copy(
        update={
            "model": params.model.model_copy(update={"encoder_weights": "none"}),
            "prepare": params.prepare.model_copy(update={"side": side}),
            "train": params.train.model_copy(update=changed),
        }
    )


class Turns(lightning.Callback):
    """Lets the rivals run between the Trainer's own steps, and keeps every clock."""

    def __init__(self, rivals: dict[str, Step], unmeasured: dict[str, int], seconds: float) -> None:
        """Take the rivals' steps, how many of each don't count in a turn, and how long in all."""
        self.rivals, self.unmeasured, self.seconds = rivals, unmeasured, seconds
        self.clocks = {name: Clock() for name in ("ours", *rivals)}
        self.chunk, self.start, self.begun = 0, (0.0, 0.0), 0

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """All of the step before, moving average and all, is done by now."""
        done = trainer.global_step
        if done < WARM:
            return
        if done == WARM:
            self.prepare()
        elif done - self.begun == self.chunk:
            self.clocks["ours"].note(self.start, self.chunk)
            self.rivals_turn()
            trainer.should_stop = time.perf_counter() > self.end and self.turns >= 3
        else:
            return
        self.begun, self.start = done, now()

    @property
    def turns(self) -> int:
        """Turns so far."""
        return len(self.clocks["ours"].wall)

    def prepare(self) -> None:
        """Warm up the rivals; find how many steps make a turn."""
        for step in self.rivals.values():
            repeat(step, WARM)
        clock = Clock()
        clock.measure(self.rivals["ceiling"], 1)
        self.chunk = min(max(1, round(1 / clock.wall[0])), 50)
        self.end = time.perf_counter() + self.seconds

    def rivals_turn(self) -> None:
        """A turn of each rival; what its workers had ready beforehand is used up first."""
        for name, step in self.rivals.items():
            repeat(step, self.unmeasured[name])
            self.clocks[name].measure(lambda step=step: repeat(step, self.chunk), self.chunk)


def learner(params: Params, store: PreparedDataset) -> HGMNetModule:
    """Ours, with an epoch that never ends."""
    torch.manual_seed(0)
    spec = untrained_spec(params)
    feed = InMemorySource(store, labels(params, store))
    feed.train = feed.train.repeat(ENDLESS)
    return HGMNetModule(network(params), spec, params.train, feed)


def plain(params: Params, store: PreparedDataset, workers: int) -> Step:
    """A step of the same network as a user would write it."""
    model = network(params).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params.train.learning_rate)
    loader = DataLoader(
        Plain(store, labels(params, store), params.train.augment),
        batch_size=params.train.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        prefetch_factor=PREFETCH if workers else None,
        persistent_workers=workers > 0,
        pin_memory=DEVICE.type == "cuda",
    )
    batches = endless(loader)
    total = [0.0]

    def step() -> None:
        image, mask, label = (part.to(DEVICE) for part in next(batches))
        optimizer.zero_grad()
        loss = joint_loss(model(image), mask, label, params.train.loss, params.model)
        loss.backward()
        optimizer.step()
        total[0] += loss.item()

    return step


class Plain(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Images by number, changed one by one on the CPU; already decoded and resampled."""

    def __init__(self, store: PreparedDataset, labels: Tensor, ranges: Augment) -> None:
        """Take them all."""
        self.images, self.masks, self.labels = store.images, store.masks, labels
        self.change = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(
                    ranges.rotate_degrees, (ranges.shift,) * 2, (1 - ranges.scale, 1 + ranges.scale)
                ),
                v2.ElasticTransform(alpha=ranges.elastic * 1000),
            ]
        )
        self.noise = v2.GaussianNoise(sigma=ranges.noise)
        self.ranges = ranges

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        image, mask = self.change(_picture(self.images[i]), tv_tensors.Mask(self.masks[i][None]))
        gamma = float(torch.empty(1).uniform_(1 - self.ranges.gamma, 1 + self.ranges.gamma))
        contrast = float(
            torch.empty(1).uniform_(1 - self.ranges.contrast, 1 + self.ranges.contrast)
        )
        image = v2.functional.adjust_gamma(image.float() / 255, gamma)
        image = self.noise(v2.functional.adjust_contrast(image, contrast))
        return (image - MEAN) / STD, mask.float(), self.labels[i]


def ceiling(params: Params, store: PreparedDataset, *, compiled: bool) -> Step:
    """Forward, backward and optimiser step on one batch that lies there, at ours' precision."""
    model = network(params).to(DEVICE, memory_format=torch.channels_last)
    if compiled:
        model.compile()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=params.train.learning_rate, weight_decay=1e-2, fused=True
    )
    size, side = params.train.batch_size, params.prepare.side
    image = torch.randn(size, 1, side, side, device=DEVICE)
    mask = torch.from_numpy(store.masks[:size]).unsqueeze(1).float().to(DEVICE)
    label = labels(params, store)[:size].to(DEVICE)

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=dtype(params) == torch.bfloat16):
            loss = joint_loss(model(image), mask, label, params.train.loss, params.model)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def alone(rival: Callable[[], Step] | None, params: Params, store: PreparedDataset) -> None:
    """Run a few steps of one contestant, ours if no other, for the memory that it takes."""
    if rival is not None:
        repeat(rival(), FEW)
        return
    trainer = build_trainer(params.train)
    trainer.fit_loop.epoch_loop.max_steps = FEW
    trainer.fit(learner(params, store))


def report(clocks: dict[str, Clock], params: Params) -> None:
    """A table: images a second, shares, memory."""
    size = params.train.batch_size
    flops = step_flops(
        ceiling(
            params, random_store(size, params.prepare.side, params.data.classes), compiled=False
        )
    )
    peak = peak_flops(dtype(params))
    print(head_line())
    print(
        f"{params.model.encoder}, {params.prepare.side} px, batch {size}, "
        f"{params.train.precision}, compile {params.train.compile}; "
        f"{flops / size / 1e9:.1f} GFLOP an image; a product of matrices reaches "
        f"{peak / 1e12:.2f} TFLOP/s; {len(clocks['ours'].wall)} turns.\n"
    )
    print("| | images/s | CPU s/image | share of peak | peak memory, GiB |\n|---|---|---|---|---|")
    for name, clock in clocks.items():
        second = median(clock.wall)
        memory = memory_alone(__file__, name) / 2**30
        print(
            f"| {name} | {size / second:.2f} | {median(clock.cpu) / size:.4f} | "
            f"{flops / second / peak:.0%} | {memory:.2f} |"
        )
    for name in ("plain", "ceiling"):
        wall = ratio(clocks["ours"].wall, clocks[name].wall)
        cpu = ratio(clocks["ours"].cpu, clocks[name].cpu)
        print(f"\nours / {name}: {wall} by the wall, {cpu} by CPU time (quartiles of the turns)")


def network(params: Params) -> HGMNet:
    """The profile's network, from the same random weights for each contestant."""
    torch.manual_seed(0)
    return HGMNet(params.model, len(params.data.classes)).train()


def labels(params: Params, store: PreparedDataset) -> Tensor:
    """Class indices of a store's rows."""
    return torch.tensor([params.data.classes.index(e.label) for e in store.entries])


def dtype(params: Params) -> torch.dtype:
    """What ours computes in."""
    return torch.bfloat16 if params.train.precision == "bf16-mixed" else torch.float32


def repeat(step: Step, times: int) -> None:
    """Do it so often."""
    for _ in range(times):
        step()


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Its batches, epoch after epoch."""
    return itertools.chain.from_iterable(itertools.repeat(loader))


def _picture(image: NDArray[np.uint8]) -> tv_tensors.Image:
    return tv_tensors.Image(torch.from_numpy(image)[None])


if __name__ == "__main__":
    main()
