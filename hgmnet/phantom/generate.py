"""The synthetic data set: B-mode breast ultrasound in BUSI's layout, with true masks.

It replaces real data where there is none. An image depends only on the seed, its class, its number
and the nominal image size, so more images leave the earlier ones unchanged. A few copies are
planted as the next numbers of their class, to test grouping; `plan` lists them. Figures measured
on these images are always reported with the data set's name.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image

from hgmnet.config.data import Phantom
from hgmnet.errors import ConfigError
from hgmnet.phantom.bmode import Grey, Mask, bmode, draw_machine
from hgmnet.phantom.lesions import add_lesion, draw_lesions
from hgmnet.phantom.planted_copies import CHANGES, Change, PhantomImage, alter
from hgmnet.phantom.tissue import tissue

Kind = Literal["benign", "malignant", "normal"]
OTHER: dict[Kind, Kind] = {"benign": "malignant", "malignant": "benign"}
VARY = 0.25  # maximum relative difference of width and height from the nominal ones


@dataclass(frozen=True)
class PhantomCase:
    """One image of the data set: its class folder, number and seed, and its original if a copy.

    A copy has its original in `copy_of`; `change` is None if its pixels are the same. Its
    `label` is the original's, except for the planted label conflict.
    """

    label: Kind
    number: int
    seed: int
    copy_of: "PhantomCase | None" = None
    change: Change | None = None

    @property
    def name(self) -> str:
        """The file's stem: `benign (12)`."""
        return f"{self.label} ({self.number})"


def plan(params: Phantom) -> tuple[PhantomCase, ...]:
    """List the images of the data set: the originals by class and number, then the copies.

    The first copy has its original's exact pixels, with eight or more also the second. With four or
    more the last is a label conflict: the exact pixels of a lesion in the other lesion class. The
    others take turns through the changes of `hgmnet.phantom.planted_copies`.

    Raises:
        ConfigError: copies are requested, but there is nothing to copy.
    """
    kinds: tuple[Kind, ...] = get_args(Kind)
    originals = [
        PhantomCase(label, number, _seed(params.seed, label, number))
        for label in kinds
        for number in range(1, getattr(params, label) + 1)
    ]
    return (*originals, *_copies(originals, params))


def generate(params: Phantom, folder: Path) -> None:
    """Write the data set as `<class>/<class> (<n>).png` with `_mask.png`, `_mask_1.png`, ...

    Raises:
        ConfigError: the folder is not empty, or as `plan`.
    """
    if folder.exists() and any(folder.iterdir()):
        msg = f"{folder} is not empty; remove it, or let DVC do so: dvc repro data/phantom/dvc.yaml"
        raise ConfigError(msg)
    for case in plan(params):
        _write(render(case, params), folder / case.label / case.name)


def render(case: PhantomCase, params: Phantom) -> PhantomImage:
    """Draw one image; an equal case and image size give equal pixels."""
    rng = np.random.default_rng(case.seed)
    if case.copy_of is None:
        return _draw(case.label, params, rng)
    original = render(case.copy_of, params)
    return original if case.change is None else alter(original, case.change, rng)


def _seed(seed: int, label: Kind, number: int, role: str = "image") -> int:
    digest = hashlib.sha256(f"{seed}/{label}/{number}/{role}".encode()).digest()
    return int.from_bytes(digest[:8])


def _copies(originals: list[PhantomCase], params: Phantom) -> Iterator[PhantomCase]:
    if params.copies and not originals:
        msg = f"phantom.copies: {params.copies} copies of no image; ask for images, or for 0 copies"
        raise ConfigError(msg)
    order = sorted(originals, key=lambda case: _seed(params.seed, case.label, case.number, "order"))
    lesions = [case for case in order if case.label in OTHER]
    conflict = params.copies >= 4 and bool(lesions)
    exact = 2 if params.copies >= 8 else 1
    taken = Counter(case.label for case in originals)
    for index in range(params.copies - conflict):
        original = order[index % len(order)]
        how = None if index < exact else tuple(CHANGES)[(index - exact) % len(CHANGES)]
        yield _copy(original, original.label, how, taken, params.seed)
    if conflict:
        yield _copy(lesions[-1], OTHER[lesions[-1].label], None, taken, params.seed)


def _copy(
    original: PhantomCase, label: Kind, how: Change | None, taken: Counter[Kind], seed: int
) -> PhantomCase:
    """Plan a copy under the next number of its class."""
    taken[label] += 1
    role = f"copy {label} {taken[label]}"
    own = _seed(seed, original.label, original.number, role)
    return PhantomCase(label, taken[label], own, original, how)


def _draw(label: Kind, params: Phantom, rng: np.random.Generator) -> PhantomImage:
    """Draw an original: tissue, then lesions, then the scanner."""
    vary = rng.uniform(1 - VARY, 1 + VARY, 2)
    echo = tissue((round(params.height * vary[0]), round(params.width * vary[1])), rng)
    masks: list[Mask] = []
    for lesion in draw_lesions(label == "malignant", rng) if label != "normal" else ():
        echo, mask = add_lesion(echo, lesion, rng)
        masks.append(mask)
    return PhantomImage(bmode(echo, draw_machine(rng), rng), tuple(masks))


def _write(picture: PhantomImage, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    _write_png(picture.image, stem.with_name(f"{stem.name}.png"))
    for index, mask in enumerate(picture.masks or (picture.mask,)):
        suffix = f"_{index}" if index else ""
        _write_png(mask.astype(np.uint8) * 255, stem.with_name(f"{stem.name}_mask{suffix}.png"))


def _write_png(grey: Grey, path: Path) -> None:
    Image.fromarray(grey).save(path, compress_level=3)
