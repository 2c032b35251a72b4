"""Settings of the network and of its initial weights."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from hgmnet.config.base import FILE, WORD, Frozen, Natural, Sha256

Tasks = Literal["joint", "segmentation", "classification"]
Gates = Literal["tied", "free", "self", "multiply", "input", "reverse", "uncertainty", "none"]
PACKAGED = {
    "tu-tf_efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "tu-tf_efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "tu-tf_efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""Encoders whose ImageNet weights are in a package of the extra `imagenet`; sha256 of the file."""


class File(Frozen):
    """A file or model folder in the repository, with the sha256 that it must have."""

    path: str
    sha256: Sha256


def _kind(value: Any) -> str:
    """Return the form of a setting, so that an error names only that one."""
    return FILE if isinstance(value, dict | File) else WORD


_AFile = Annotated[File, Tag(FILE)]
EncoderWeights = Annotated[
    Annotated[Literal["imagenet", "none"], Tag(WORD)] | _AFile, Discriminator(_kind)
]
InitFrom = Annotated[Annotated[Literal["none"], Tag(WORD)] | _AFile, Discriminator(_kind)]


class Model(Frozen):
    """HGM-Net's architecture.

    `encoder_weights`: random (none), ImageNet's from an installed package or their hub, or a file.
    `shared_encoder`: coarse and fine net share one encoder. `input`: channels of the encoders; rgb
    repeats the grey channel three times. `decoder_channels`: from the deepest block to full
    resolution. `coarse`: use a coarse net besides the fine one. `gate`: how the coarse map acts on
    the fine net (`hgmnet.models.gating`). `detach_coarse`: no gradient flows back through that map.
    `deep_supervision`: the fine decoder's blocks predict masks too. `class_scales`: number of the
    deepest scales that the classifier uses.
    """

    encoder: str
    encoder_weights: EncoderWeights
    shared_encoder: bool
    input: Literal["grey", "rgb"]
    decoder_channels: Annotated[
        tuple[Natural, ...], Field(min_length=5, max_length=5, strict=False)
    ]
    tasks: Tasks
    coarse: bool
    gate: Gates
    detach_coarse: bool
    deep_supervision: bool
    class_scales: Annotated[int, Field(ge=1, le=5)]
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @property
    def segments(self) -> bool:
        """Whether the model learns masks."""
        return self.tasks != "classification"

    @property
    def classifies(self) -> bool:
        """Whether the model learns the class."""
        return self.tasks != "segmentation"

    @property
    def packaged(self) -> bool:
        """Whether the encoders start from weights of a package, not of a hub."""
        return self.encoder_weights == "imagenet" and self.encoder in PACKAGED

    @model_validator(mode="after")
    def _possible(self) -> Self:
        masks = self.coarse or self.gate != "none" or self.deep_supervision
        if self.tasks == "classification" and masks:
            raise ValueError(
                "tasks: classification has no masks; set coarse: false, gate: none and "
                "deep_supervision: false"
            )
        if not self.coarse and self.gate not in {"none", "self"}:
            msg = f"gate: {self.gate} needs a coarse map; set coarse: true, or gate: none or self"
            raise ValueError(msg)
        if self.shared_encoder and not self.coarse:
            msg = "shared_encoder: without a coarse net there is nothing to share; set it to false"
            raise ValueError(msg)
        return self
