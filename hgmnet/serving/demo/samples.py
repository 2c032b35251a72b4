"""Synthetic sample images for the page, generated on request, with their true lesions."""

import io
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from hgmnet.config.data import Phantom
from hgmnet.phantom.generate import PhantomCase, plan, render
from hgmnet.phantom.planted_copies import PhantomImage

SETTINGS = Phantom(seed=2025, benign=3, malignant=3, normal=2, copies=0, width=200, height=160)
"""The seed is used by no profile: the images are in no data set that a model is trained on."""


@dataclass(frozen=True)
class DemoSample:
    """A synthetic image; `key` is its name in a URL."""

    case: PhantomCase

    @property
    def key(self) -> str:
        """Name in a URL, such as `malignant-2`."""
        return f"{self.case.label}-{self.case.number}"

    @property
    def name(self) -> str:
        """Display name; it states that the image is synthetic."""
        return f"synthetic {self.case.label} {self.case.number}"

    @property
    def picture(self) -> PhantomImage:
        """Generate pixels and lesions, always the same."""
        return _drawn(self.case)

    @property
    def png(self) -> bytes:
        """Encode the pixels as PNG."""
        file = io.BytesIO()
        Image.fromarray(self.picture.image).save(file, "PNG")
        return file.getvalue()


def samples() -> dict[str, DemoSample]:
    """Return all samples by key, in display order."""
    return {sample.key: sample for sample in map(DemoSample, plan(SETTINGS))}


@lru_cache(maxsize=SETTINGS.benign + SETTINGS.malignant + SETTINGS.normal)
def _drawn(case: PhantomCase) -> PhantomImage:
    return render(case, SETTINGS)
