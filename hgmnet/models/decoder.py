"""The U-Net decoder of segmentation-models-pytorch, returning every block's output."""

from collections.abc import Sequence

from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from hgmnet.config.model import Model
from hgmnet.models.image_size import DEPTH

_DEEP = 3  # blocks below full resolution with their own mask heads: at 1/8, 1/4 and 1/2


class MaskDecoder(nn.Module):
    """Computes mask logits from an encoder's features, at full and optionally lower resolution."""

    def __init__(self, encoder_channels: Sequence[int], model: Model, *, deep: bool) -> None:
        """Build for the channels of the input and the five scales; `deep`: add deeper heads."""
        super().__init__()
        channels = model.decoder_channels
        self.unet = UnetDecoder(encoder_channels, channels, n_blocks=DEPTH)
        self.head = SegmentationHead(channels[-1], 1)
        deeper = channels[-1 - _DEEP : -1] if deep else ()
        self.deep = nn.ModuleList(SegmentationHead(c, 1, kernel_size=1) for c in deeper)
        initialize_decoder(self.unet)
        for head in (self.head, *self.deep):
            initialize_head(head)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Decode the image (only its size is used) and features (B, C_l, H_l, W_l), finest first.

        Returns:
            Mask logits (B, 1, H, W), and those of the deeper heads, coarsest first.
        """
        *skips, deepest = features[1:]
        steps = [self.unet.center(deepest)]
        for block, like in zip(self.unet.blocks, reversed(features[:-1]), strict=True):
            skip = skips.pop() if skips else None
            steps.append(block(steps[-1], *like.shape[-2:], skip_connection=skip))
        deeper = steps[-1 - len(self.deep) : -1]
        deep = tuple(head(step) for head, step in zip(self.deep, deeper, strict=True))
        return self.head(steps[-1]), deep
