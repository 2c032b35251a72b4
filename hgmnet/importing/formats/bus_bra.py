"""BUS-BRA: `bus_data.csv` beside `Images/bus_0001-l.png` and `Masks/mask_0001-l.png`.

W. Gómez-Flores et al., "BUS-BRA: A breast ultrasound dataset for assessing computer-aided diagnosis
systems", Medical Physics 51, 2024.
"""

from hgmnet.importing.planned_image import PlannedImage
from hgmnet.importing.spreadsheet import Sheet

TABLE = "bus_data.csv"
COLUMNS = ("ID", "Case", "Pathology")
"""The columns that identify the table; its other columns are kept unchanged."""


def plan(sheet: Sheet) -> list[PlannedImage]:
    """Plan one image per row; `Case` is the patient; InvalidDataError if a column is missing."""
    sheet.hold(COLUMNS)
    folder = sheet.path.parent
    return [
        PlannedImage(
            source=folder / "Images" / f"{row['ID']}.png",
            label=row["Pathology"].lower(),
            stem=row["ID"],
            masks=(folder / "Masks" / f"mask_{row['ID'].removeprefix('bus_')}.png",),
            patient=row["Case"],
            further={name: text for name, text in row.items() if name not in COLUMNS},
        )
        for row in sheet.rows.values()
    ]
