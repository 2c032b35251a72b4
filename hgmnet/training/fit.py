"""Training of HGM-Net on a prepared data set by Lightning: seeded, resumed after a kill."""

import logging
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as lightning
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from hgmnet.config.data import Data, Prepare
from hgmnet.config.model import File, Model
from hgmnet.config.training import Train
from hgmnet.data.prepared import PreparedDataset, class_indices
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.models.encoders import grey_levels
from hgmnet.models.ensemble import Network, joined
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.image_size import check_size
from hgmnet.models.initialization import start_from, warm_encoders
from hgmnet.models.spec import FORMAT, Seen, Spec
from hgmnet.models.sync_batchnorm import synchronise
from hgmnet.splitting.contamination import check
from hgmnet.training.batches import BatchSource, build_feed
from hgmnet.training.callbacks import TrainingMonitor
from hgmnet.training.checkpoints import AtomicCheckpointIO, newest
from hgmnet.training.checkpoints import mark as mark_of
from hgmnet.training.distributed import DevicePlan, environment, plan, trainer_settings
from hgmnet.training.lightning_module import EpochFigures, HGMNetModule


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode on the CPU, its spec, and its figures per epoch."""

    network: Network
    spec: Spec
    curves: tuple[EpochFigures, ...]


def fit(
    store: PreparedDataset,
    *,
    data: Data,
    prepare: Prepare,
    model: Model,
    train: Train,
    root: Path,
    fingerprint: str,
    checkpoints: Path,
    on_epoch: Callable[[EpochFigures], None],
) -> Trained:
    """Train, or resume from `checkpoints` if a training of the same fingerprint was interrupted.

    The members of an ensemble are trained one after the other; epochs are counted on.

    Args:
        store: the prepared images; only train and val are used.
        data: classes.
        prepare: how the store was made.
        model: the architecture.
        train: the recipe. On a CPU the same seed gives the same weights, bit for bit.
        root: the folder that paths in `model` and `train` are relative to.
        fingerprint: identifies everything that the weights depend on.
        checkpoints: a folder for this fingerprint alone.
        on_epoch: called with each new epoch's figures, in the first process only.

    Raises:
        ConfigError: the encoder, its weights, the parent model, the image size or the device is
            not available.
        InvalidDataError: train or val has no images, or the parent model was fitted on some of
            val or test.
        HgmnetError: the loss became infinite or NaN; the checkpoint of the last epoch is kept.
        KeyboardInterrupt: at Ctrl-C; the checkpoint of the last epoch is kept.
        CheckpointError: a checkpoint can't be written; the previous one is intact.
    """
    check_size(prepare.side)
    planned = plan(train)
    feed = _feed(store, data, train, planned)
    networks, curves = list[HGMNet](), list[EpochFigures]()
    for member in range(train.members):
        torch.manual_seed(train.seed + member)
        network = HGMNet(model, len(data.classes))
        warm_encoders(network, root)
        parent = _parent(network, store, train, data, root)
        mean, std = (parent.mean, parent.std) if parent else grey_levels(model)
        spec = Spec(
            format=FORMAT,
            model=model,
            prepare=prepare,
            classes=data.classes,
            mean=mean,
            std=std,
            data=data.name,
            seed=train.seed,
            members=train.members,
            fingerprint=fingerprint,
            parent=train.init_from.sha256 if isinstance(train.init_from, File) else None,
            seen=_seen(store, data.name, parent),
        )
        if planned.processes > 1:
            synchronise(network, prepare.side, cuda=planned.cuda)
        learner = HGMNetModule(network, spec, train, feed, member=member)
        own = checkpoints / f"member{member + 1}" if train.members > 1 else checkpoints
        _learn(learner, fingerprint, own, on_epoch)
        networks.append(learner.averaged.cpu().eval())
        curves += learner.curves
    return Trained(joined(networks), spec, tuple(curves))


def _learn(
    learner: HGMNetModule,
    fingerprint: str,
    checkpoints: Path,
    on_epoch: Callable[[EpochFigures], None],
) -> None:
    train, last = learner.settings, newest(checkpoints)
    durable = AtomicCheckpointIO()
    mark = f"{fingerprint} {mark_of(last) if last else ''}"
    trainer = build_trainer(
        train, TrainingMonitor(on_epoch, checkpoints, durable, mark), durable=durable
    )
    try:
        trainer.fit(learner, ckpt_path=last, weights_only=True)
    except SIGTERMException:  # a SystemExit of status 0, as if the training had come to its end
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit:  # what Lightning makes of Ctrl-C
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt("every finished epoch is kept") from None


def build_trainer(
    train: Train, *callbacks: lightning.Callback, durable: AtomicCheckpointIO | None = None
) -> lightning.Trainer:
    """Build Lightning's Trainer, callbacks in the order of calls; raises as `distributed.plan`."""
    return lightning.Trainer(
        **trainer_settings(train, plan(train)),
        plugins=[durable or AtomicCheckpointIO(), environment()],
        precision=train.precision,
        max_epochs=train.epochs,
        callbacks=[*callbacks],
        benchmark=True,
        enable_progress_bar=False,  # TrainingMonitor shows one
        enable_checkpointing=False,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
    )


def _parent(
    network: HGMNet, store: PreparedDataset, train: Train, data: Data, root: Path
) -> Spec | None:
    """Load the weights of `train.init_from` into the network, if it is set; return its spec."""
    if not isinstance(train.init_from, File):
        return None
    parent = start_from(network, train.init_from, classes=data.classes, root=root)
    judging = [entry for entry in store.entries if entry.split != "train"]
    if known := check(judging, data.name, [parent]).seen:
        raise InvalidDataError(
            f"train.init_from: {train.init_from.path} was fitted on {len(known)} images of today's "
            f"val and test, {known[0].image} among them; start from another model"
        )
    return parent


def _seen(store: PreparedDataset, data: str, parent: Spec | None) -> Seen:
    def pixels(split: str) -> tuple[str, ...]:
        return tuple(sorted({e.pixel_sha256 for e in store.entries if e.split == split}))

    groups = {e.group for e in store.entries if e.split in {"train", "val"}}
    if parent is not None and parent.data == data:
        groups |= set(parent.seen.groups)
    before = tuple(sorted(parent.seen.pixels)) if parent else ()
    return Seen(train=pixels("train"), val=pixels("val"), groups=tuple(groups), parent=before)


def _feed(store: PreparedDataset, data: Data, train: Train, planned: DevicePlan) -> BatchSource:
    for split in ("train", "val"):
        if not len(store.rows(split)):
            raise InvalidDataError(f"{split} has no images: change split.fractions, or add images")
    if (count := len(store.rows("train"))) < planned.processes:
        processes = planned.processes
        raise ConfigError(f"train.devices: {processes} processes for {count} images; lower it")
    labels = class_indices([entry.label for entry in store.entries], data.classes)
    room = train.resident_gib * 2**30
    if planned.cuda:
        room = min(room, torch.cuda.mem_get_info()[0] / 2)  # the rest is for the network
    return build_feed(store, torch.from_numpy(labels), room=int(room), workers=train.workers)


def quiet_lightning() -> None:
    """Suppress Lightning's notices and advice; other warnings stay."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
