"""Where a model is better and worse: per_image.csv, the manifest and images.csv put together."""

from collections.abc import Callable, Mapping

import pandas as pd

from hgmnet.data import sidecar
from hgmnet.data.record import Record
from hgmnet.errors import InvalidDataError
from hgmnet.figure import Figure
from hgmnet.subgroups import Part, facts, parts
from pipelines.artifacts import Subgroup
from pipelines.files import read_rows
from pipelines.workspace import Workspace


def find_subgroups(
    workspace: Workspace,
    table: pd.DataFrame,
    measure: Callable[[pd.DataFrame], Mapping[str, Figure]],
) -> tuple[Subgroup, ...]:
    """The figures of every subgroup; those that no image of it has are left out.

    Args:
        workspace: where manifest.csv and raw/images.csv lie.
        table: rows of per_image.csv, of one split.
        measure: gives the figures of such rows.

    Raises:
        InvalidDataError: the manifest lacks an image of the table, or images.csv is damaged.
    """
    by_image = facts_of(workspace)
    strange = [image for image in table["image"] if image not in by_image]
    if strange:
        msg = f"{workspace.manifest} has no row for {strange[0]}; remake both: dvc repro prepare"
        raise InvalidDataError(msg)
    return tuple(_measured(part, measure) for part in parts(table, by_image))


def facts_of(workspace: Workspace) -> dict[str, dict[str, str]]:
    """What is known of every image by column: `hgmnet.subgroups.facts`."""
    records = read_rows(workspace.manifest, Record)
    told = sidecar.read(workspace.raw, (record.image for record in records))
    columns = next((entry.further for entry in told.values()), {})
    unstated = dict.fromkeys(columns, "")
    return {
        r.image: facts(r, told[r.image].further if r.image in told else unstated)
        for r in records
        if not r.error
    }


def _measured(part: Part, measure: Callable[[pd.DataFrame], Mapping[str, Figure]]) -> Subgroup:
    figures = {name: figure for name, figure in measure(part.table).items() if figure.n}
    return Subgroup(column=part.column, value=part.value, figures=figures)
