"""Any CSV or .xlsx of images: columns image and label, and others."""

from pathlib import PurePosixPath

from hgmnet.data.image_files import stem_of
from hgmnet.errors import InvalidDataError
from hgmnet.importing import spreadsheet
from hgmnet.importing.planned_image import PlannedImage
from hgmnet.importing.spreadsheet import Sheet

COLUMNS = ("image", "label")  # the columns that identify the table

_SPACINGS = ("pixel_mm", "spacing")  # columns of the pixel spacing in mm, in order of priority


def plan(sheet: Sheet) -> list[PlannedImage]:
    """Plan one image per row.

    `image`: a path below the table's folder. The image is named after its whole path:
    `anna/1.dcm` and `berta/1.dcm` become `anna_1` and `berta_1`. `mask`: none, one, or several
    separated by `;`. `patient`, `pixel_mm` or `spacing` (mm) are optional; other columns are kept.

    Raises:
        InvalidDataError: a column is missing, a path leads out of the folder, a label is empty, an
            image is duplicated, or a spacing is not a number; the message names the row.
    """
    sheet.hold(COLUMNS)
    spacing = next((name for name in _SPACINGS if name in sheet.columns), "")
    used = {*COLUMNS, "mask", "patient", spacing}
    pictures = []
    rows: dict[PurePosixPath, int] = {}
    for number, row in sheet.rows.items():
        where = sheet.where(number)
        image = _path(sheet, row["image"], where)
        if not row["label"]:
            msg = f"{where}: {row['image']} has no label; give one, or remove the row"
            raise InvalidDataError(msg)
        if rows.setdefault(image, number) != number:
            msg = f"{where}: {row['image']} is in row {rows[image]} too; remove one"
            raise InvalidDataError(msg)
        masks = filter(None, (name.strip() for name in row.get("mask", "").split(";")))
        pictures.append(
            PlannedImage(
                source=image,
                label=row["label"].lower(),
                stem="_".join(image.relative_to(sheet.path.parent).with_name(stem_of(image)).parts),
                masks=tuple(_path(sheet, mask, where) for mask in masks),
                patient=row.get("patient", ""),
                pixel_mm=spreadsheet.number(row.get(spacing, ""), f"{where}: {spacing}"),
                further={name: text for name, text in row.items() if name not in used},
            )
        )
    return pictures


def _path(sheet: Sheet, text: str, where: str) -> PurePosixPath:
    path = PurePosixPath(text.replace("\\", "/"))
    if not path.name:
        raise InvalidDataError(f"{where}: no image is named; give a path below the table's folder")
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InvalidDataError(f"{where}: {text} leads out of the table's folder; put it below")
    return sheet.path.parent / path
