"""Synthetic images to try the page with, rendered on request, with their true lesions."""

from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from hgmnet.config.data import Phantom
from hgmnet.data.images import png_file
from hgmnet.phantom.generate import PhantomCase, plan, render
from hgmnet.phantom.planted_copies import PhantomImage

SETTINGS = Phantom(seed=2025, benign=3, malignant=3, normal=2, copies=0, width=200, height=160)
"""A seed that no profile uses: the images are in no data set that a model is trained on."""


@dataclass(frozen=True)
class DemoSample:
    """A synthetic image; `key`: its name in a URL."""

    case: PhantomCase

    @property
    def key(self) -> str:
        """The name in a URL: `malignant-2`."""
        return f"{self.case.label}-{self.case.number}"

    @property
    def name(self) -> str:
        """The display name, which states that the image is synthetic."""
        return f"synthetic {self.case.label} {self.case.number}"

    @cached_property
    def picture(self) -> PhantomImage:
        """The pixels and lesions; always equal."""
        return render(self.case, SETTINGS)

    @property
    def png(self) -> bytes:
        """The pixels as a PNG file."""
        return png_file(Image.fromarray(self.picture.image))


def samples() -> dict[str, DemoSample]:
    """All samples, by key, in the order on the page."""
    return {sample.key: sample for sample in map(DemoSample, plan(SETTINGS))}
