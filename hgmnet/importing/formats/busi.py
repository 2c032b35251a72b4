"""BUSI and similar layouts: the class is a folder's name, masks are found by their names.

`<class>/<stem>.png` with `<stem>_mask*.png` beside it, or `<class>/images/<stem>.png` with
`<class>/mask/<stem>.png` or `<stem>_mask*.png`; folders above don't matter.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from hgmnet.data import folder_layout
from hgmnet.errors import InvalidDataError
from hgmnet.importing.planned_image import PlannedImage, named

_MASKS = {"mask", "masks"}
_PARTED = {"image", "images", *_MASKS}


def plan(files: Iterable[PurePosixPath]) -> list[PlannedImage]:
    """Find images in class folders, and the masks of each.

    Raises:
        InvalidDataError: there is no image, one is in no class folder, or a mask has no image.
    """
    masks: dict[PurePosixPath, list[PurePosixPath]] = {}
    images = []
    for path in sorted(path for path in files if folder_layout.is_image(path)):
        in_masks = _MASKS & {part.lower() for part in path.parent.parts}
        if in_masks or folder_layout.mask_of(path.stem) is not None:
            masks.setdefault(_key(path), []).append(path)
        else:
            images.append(path)
    if not images:
        raise InvalidDataError(f"no image found; expected {folder_layout.LAYOUT}")
    strays = sorted(str(path) for path in images if not _key(path).parent.name)
    if strays:
        msg = f"{named(strays)} in no class folder; expected {folder_layout.LAYOUT}"
        raise InvalidDataError(msg)
    orphans = masks.keys() - {_key(path) for path in images}
    if orphans:
        lost = sorted(str(path) for key in orphans for path in masks[key])
        msg = f"{named(lost)} without an image of that name; add it, or remove the mask"
        raise InvalidDataError(msg)
    return [
        PlannedImage(
            source=path,
            label=_key(path).parent.name.lower(),
            stem=path.stem,
            masks=tuple(sorted(masks.get(_key(path), ()), key=lambda m: (len(m.stem), m.stem))),
        )
        for path in images
    ]


def _key(path: PurePosixPath) -> PurePosixPath:
    """Return the common key of an image and its masks: the class folder and the image's stem."""
    folders = (part for part in path.parent.parts if part.lower() not in _PARTED)
    return PurePosixPath(*folders, folder_layout.mask_of(path.stem) or path.stem)
