"""BUSI and similar layouts: the class is a folder's name, masks are found by their names.

`<class>/<stem>.png` with `<stem>_mask*.png` beside it, or `<class>/images/<stem>.png` with
`<class>/mask/<stem>.png` or `<stem>_mask*.png`; folders above don't matter.
"""

from hgmnet.data import image_files
from hgmnet.data.folder_layout import LAYOUT
from hgmnet.errors import InvalidDataError
from hgmnet.importing.planned_image import PlannedImage, named
from hgmnet.importing.source_files import Files


def plan(files: Files) -> list[PlannedImage]:
    """Find images in class folders, and the masks of each.

    Raises:
        InvalidDataError: there is no image, one is in no class folder, or a mask has no image.
    """
    found = image_files.find(files)
    if not found.images:
        raise InvalidDataError(f"no image found; expected {LAYOUT}")
    folders = {path: image_files.class_and_stem(path).parent.name for path in found.images}
    if strays := [str(path) for path, folder in folders.items() if not folder]:
        raise InvalidDataError(f"{named(strays)} in no class folder; expected {LAYOUT}")
    if found.orphans:
        lost = named([str(path) for path in found.orphans])
        msg = f"{lost} without an image of that name; add it, or remove the mask"
        raise InvalidDataError(msg)
    return [
        PlannedImage(
            source=path,
            label=folders[path].lower(),
            stem=image_files.stem_of(path),
            masks=masks,
        )
        for path, masks in found.images.items()
    ]
