"""The manifest: a row an image, with everything that is computed from its bytes."""

from hgmnet.config import Frozen


class Record(Frozen):
    """One image of a data set.

    `image` and `masks` are POSIX paths below raw/; `image` is unique. `label` is the class folder's
    name, whatever it is. Where `error` is not empty the image, one of its masks or their pairing
    could not be read; what could not be computed is then 0, false or empty.

    `pixel_sha256`: of width, height and the decoded RGB pixels, so that a re-encoded file keeps it.
    `mask_pixels`: pixels in the union of all masks, at native size. `masks_match`: every mask has
    the image's size. `masks_binary`: every mask holds only 0 and 255. `intensity_*`: grey, 0-255.
    `group`: images that are copies or frames of one scene share it. `excluded`: curation's reason.
    """

    image: str
    label: str
    masks: tuple[str, ...]
    width: int
    height: int
    mode: str
    pixel_sha256: str
    mask_pixels: int
    masks_match: bool
    masks_binary: bool
    intensity_mean: float
    intensity_std: float
    group: str
    excluded: str
    error: str

    @property
    def name(self) -> str:
        """The file's stem: with the pixels' hash, what an image is known by."""
        return self.image.rpartition("/")[2].rpartition(".")[0]
