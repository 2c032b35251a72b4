"""BrEaST: `case001.png` with `case001_tumor.png`, and a clinical table (.xlsx, or saved as .csv).

A. Pawłowska et al., "Curated benchmark dataset for ultrasound based breast lesion analysis",
Scientific Data 11, 2024. Masks of other findings (`case001_other1.png`) are not part of the lesion
that the class describes, and are not imported; their names are kept.
"""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from statistics import median

from hgmnet.data.file_names import composed
from hgmnet.errors import InvalidDataError
from hgmnet.importing import spreadsheet
from hgmnet.importing.planned_image import PlannedImage
from hgmnet.importing.source_files import Files
from hgmnet.importing.spreadsheet import Sheet

COLUMNS = ("CaseID", "Image_filename")  # the columns that identify the table

_USED = (*COLUMNS, "Mask_tumor_filename", "Pixel_size", "Classification")
_CENTIMETRES_BELOW = 0.025  # of the median; breast ultrasound has pixel spacings of 0.03-0.3 mm


def plan(sheet: Sheet, files: Files) -> list[PlannedImage]:
    """Plan one image per row; a case is a patient, normals have no mask, images are anywhere below.

    Raises:
        InvalidDataError: a column or an image is missing, or a pixel spacing is not a number.
    """
    sheet.hold(_USED)
    locate = _locator(sheet.path.parent, files)
    sizes = {
        number: spreadsheet.number(row["Pixel_size"], f"{sheet.where(number)}: Pixel_size")
        for number, row in sheet.rows.items()
    }
    known = [size for size in sizes.values() if size]
    factor = 10 if known and median(known) < _CENTIMETRES_BELOW else 1
    return [
        _picture(row, locate, factor * sizes[number], sheet.where(number))
        for number, row in sheet.rows.items()
    ]


def _picture(
    row: Mapping[str, str], locate: Callable[[str], PurePosixPath], pixel_mm: float, where: str
) -> PlannedImage:
    image = row["Image_filename"]
    if not image:
        raise InvalidDataError(f"{where}: no Image_filename; name the image, or remove the row")
    masks = (name.strip() for name in row["Mask_tumor_filename"].split("&"))
    return PlannedImage(
        source=locate(image),
        label=row["Classification"].lower(),
        stem=PurePosixPath(image).stem,
        masks=tuple(locate(name) for name in masks if name),
        patient=row["CaseID"],
        pixel_mm=pixel_mm,
        further={name: text for name, text in row.items() if name not in _USED},
    )


def _locator(folder: PurePosixPath, files: Files) -> Callable[[str], PurePosixPath]:
    """Find a file by its name: in the table's folder, or the only one of that name below it."""
    below: dict[str, list[PurePosixPath]] = {}

    def locate(name: str) -> PurePosixPath:
        beside = folder / name
        if beside in files:
            return beside
        if not below:
            for path in files:
                if path.is_relative_to(folder):
                    below.setdefault(composed(path.name), []).append(path)
        found = below.get(composed(name), [])
        if len(found) > 1:
            raise InvalidDataError(f"{found[0]} and {found[1]} have the same name; remove one")
        return found[0] if found else beside

    return locate
