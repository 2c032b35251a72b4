"""Masks of a source as black and white: other values are refused, or a lesion as stated."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from hgmnet.config.base import Frozen
from hgmnet.data import images
from hgmnet.data.image_quality import stray_values
from hgmnet.data.images import Grey, ImageFile, UnknownDepthError
from hgmnet.data.reader import open_image
from hgmnet.data.resize import Mask
from hgmnet.errors import InvalidDataError
from hgmnet.importing.planned_image import named
from hgmnet.importing.source_files import Files

_FEW = 5  # values that an error suggests


class MaskOptions(Frozen):
    """Which pixels of a mask are a lesion.

    `values`: those of a lesion. `threshold`: without values, brighter ones are a lesion. `alpha`:
    these are values of the alpha channel. `invert`: the others are the lesion.
    """

    values: tuple[int, ...] = ()
    threshold: int | None = None
    alpha: bool = False
    invert: bool = False

    def lesion(self, mask: NDArray[np.integer]) -> Mask:
        """Find the lesion in a mask's values (H, W): bool, by default where above 127."""
        bright = mask > (127 if self.threshold is None else self.threshold)
        found = np.isin(mask, self.values) if self.values else bright
        return ~found if self.invert else found


class MaskReader:
    """Encodes masks of a source as PNG, and remembers those that are not black and white."""

    def __init__(self, files: Files, options: MaskOptions) -> None:
        self._files, self._options = files, options
        self._odd: dict[str, NDArray[np.integer]] = {}
        self._transparent = False

    def png(self, mask: PurePosixPath, frame: int, frames: int, *, clip: bool) -> bytes:
        """Encode the mask of an image, of all frames if the image has one, or of one of `frames`.

        A black and white one of a single frame is copied byte for byte unless options are given.

        Raises:
            InvalidDataError: it can't be read, or has another number of frames than the image.
        """
        file = open_image(self._files[mask](), str(mask))
        single = len(file) == 1 and not clip
        if not single and frames > 1 and len(file) != frames:
            msg = f"{mask} has {len(file)} frames, its image {frames}; expected one per frame"
            raise InvalidDataError(msg)
        chosen = [frame] if frames > 1 and not single else range(len(file))
        if self._options != MaskOptions():
            values = (file.mask_values(one, alpha=self._options.alpha) for one in chosen)
            lesions = [self._options.lesion(one) for one in values]
            return images.encode_mask(np.asarray(np.logical_or.reduce(lesions)))
        grey = file.mask(chosen)
        self._remember(mask, file, chosen, grey)
        if single:
            with suppress(UnknownDepthError):  # few of 16 bits, which a mask need not declare
                return file.png(0)
        return images.encode_mask(grey > 127)

    def refuse_odd(self) -> None:
        """Raise InvalidDataError if masks were not black and white: their values, and options."""
        if not self._odd:
            return
        lesion = sorted({int(v) for values in self._odd.values() for v in values} - {0})
        few = ",".join(map(str, lesion)) if len(lesion) <= _FEW else "labels"
        values = f"hold {stray_values(self._odd.values())}"
        option = f"--mask-values {few}" + ("" if few == "labels" else ", labels for all but 0")
        if self._transparent:
            values, option = "have their shape in their transparency", "--mask-values alpha"
        msg = (
            f"{named(sorted(self._odd)).rpartition(' ')[0]}: masks are black and white (0 and "
            f"255), these {values}; state which values are a lesion ({option}), or how bright it "
            "is (--mask-threshold 127: brighter than that)"
        )
        raise InvalidDataError(msg)

    def _remember(
        self, mask: PurePosixPath, file: ImageFile, frames: Sequence[int], grey: Grey
    ) -> None:
        if stray_values([grey]):
            values = [file.mask_values(frame).ravel() for frame in frames]
            self._odd[str(mask)] = np.unique(np.concatenate(values))
        elif grey.min() == grey.max() and _has_shape(file, frames[0]):
            self._odd[str(mask)] = np.unique(grey)
            self._transparent = True


def _has_shape(file: ImageFile, frame: int) -> bool:
    """Whether the alpha channel of a mask of one grey has several values."""
    with suppress(InvalidDataError):
        return len(np.unique(file.mask_values(frame, alpha=True))) > 1
    return False
