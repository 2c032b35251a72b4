"""Settings of training: loss, augmentation, optimiser, epochs."""

from typing import Annotated, Literal

from pydantic import Field

from hgmnet.config.base import Fraction, Frozen, Natural, Positive, Seed
from hgmnet.config.model import InitFrom


class LossWeights(Frozen):
    """Weights of the terms besides the fine mask's, which is 1; `deep`: of deep supervision's."""

    coarse: Annotated[float, Field(ge=0)]
    deep: Annotated[float, Field(ge=0)]
    classification: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]


class Augment(Frozen):
    """Ranges of the augmentations; 0 turns one off. Lengths are fractions of the image size.

    `aspect`: an image becomes up to this share wider, or higher, at equal area. `sharpness`: 1 goes
    from the mean of 3 x 3 pixels to twice the difference from it.
    """

    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, lt=1)]
    aspect: Annotated[float, Field(ge=0, lt=1)]
    shift: Annotated[float, Field(ge=0, lt=1)]
    elastic: Annotated[float, Field(ge=0, lt=0.5)]
    gamma: Annotated[float, Field(ge=0, lt=1)]
    contrast: Annotated[float, Field(ge=0, lt=1)]
    sharpness: Annotated[float, Field(ge=0, le=1)]
    noise: Annotated[float, Field(ge=0, lt=1)]
    mirror: bool


class Train(Frozen):
    """Settings of the training.

    `init_from`: a trained model to start from, with the sha256 in its report. `members`: networks
    of an ensemble, trained one after the other with seeds `seed`, `seed` + 1, ...; the model is
    their mean, and takes that many times as long to train and to run. `batch_size`: images
    per step, over all processes. `encoder_rate`: the encoders' learning rate, as a fraction of
    `learning_rate`. `class_balance`: 0 draws every train image once per epoch, 1 every class
    equally often. `map_dropout`: probability that an image's coarse map is replaced by 1/2 in the
    gates, so that the fine net learns to do without it. `select`: keep the moving average of the
    weights, or the last. `compile`: use torch.compile; pays off on a GPU after some minutes, not on
    a CPU (docs/speed.md).
    `resident_gib`: prepared images of up to this size are kept on the training device; a larger set
    is streamed from the disk by `workers` threads. `devices`: processes per machine, one GPU each;
    auto is every GPU, or one process on a CPU. `num_nodes`: machines. `strategy`: auto uses DDP for
    several processes only, ddp also for one.
    """

    seed: Seed
    init_from: InitFrom
    members: Natural
    epochs: Natural
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    encoder_rate: Positive
    class_balance: Fraction
    map_dropout: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(gt=0, lt=1)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    select: Literal["ema", "last"]
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    accelerator: Literal["auto", "cpu", "gpu"]
    compile: bool
    resident_gib: Annotated[float, Field(ge=0)]
    workers: Natural
    devices: Literal["auto"] | Natural
    num_nodes: Natural
    strategy: Literal["auto", "ddp"]
    loss: LossWeights
    augment: Augment

    @property
    def all_epochs(self) -> int:
        """Epochs of all members."""
        return self.members * self.epochs
