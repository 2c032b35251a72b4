"""Further tables of stage evaluate: certainty, consistency rules, subgroups."""

from collections.abc import Callable, Mapping

import pandas as pd

from hgmnet.config.base import NORMAL
from hgmnet.config.data import Data
from hgmnet.config.evaluation import Evaluate
from hgmnet.config.model import Model
from hgmnet.data import metadata
from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation.consistency_rules import FIGURES, RULES, served
from hgmnet.evaluation.figures import figures
from hgmnet.evaluation.selective_prediction import coverage, errors, risk_areas
from hgmnet.evaluation.subgroups import Part, parts, subgroup_values
from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.evaluation import Certainty, Consistency, CoveragePoint, Ruled, Subgroup
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace


def certainty(
    table: pd.DataFrame, data: Data, evaluate: Evaluate, model: Model, refer_above: float | None
) -> Certainty:
    """Compute how well uncertainty predicts errors; `table`: one split's rows of per_image.csv."""
    curve = coverage(table, data.classes, evaluate.draws, evaluate.seed, model=model)
    wrong, referred = errors(table, model), table["refer"].to_numpy(dtype=bool)
    return Certainty(
        data=data.name,
        split=str(table["split"].iloc[0]),
        refer_above=refer_above,
        referred=float(referred.mean()),
        referred_error=float(wrong[referred].mean()) if referred.any() else None,
        kept_error=float(wrong[~referred].mean()) if not referred.all() else None,
        risk_areas=risk_areas(table, model),
        points=tuple(CoveragePoint(share=s, figures=found) for s, found in curve.items()),
    )


def consistency(table: pd.DataFrame, data: Data, evaluate: Evaluate, model: Model) -> Consistency:
    """Compute figures per combination of consistency rules, on one split's rows of per_image.csv.

    Without rules if the model lacks a task or the classes lack normal.
    """
    sensible = model.segments and model.classifies and NORMAL in data.classes
    rules = tuple(_ruled(table, data, evaluate, model, pair) for pair in RULES if sensible)
    return Consistency(data=data.name, split=str(table["split"].iloc[0]), rules=rules)


def _ruled(
    table: pd.DataFrame, data: Data, evaluate: Evaluate, model: Model, pair: tuple[bool, bool]
) -> Ruled:
    on = dict(zip(("normal_means_no_mask", "no_mask_means_normal"), pair, strict=True))
    changed = served(table, **on)
    draws, seed = evaluate.draws, evaluate.seed
    found = figures(changed, data.classes, draws, seed, model=model, only=FIGURES)
    return Ruled(**on, figures=found)


def find_subgroups(
    workspace: Workspace,
    table: pd.DataFrame,
    measure: Callable[[pd.DataFrame], Mapping[str, Figure]],
) -> tuple[Subgroup, ...]:
    """Compute the figures of every subgroup; figures without images are left out.

    Args:
        workspace: workspace with manifest.csv and raw/images.csv.
        table: rows of per_image.csv, of one split.
        measure: computes the figures of such rows.

    Raises:
        InvalidDataError: the manifest lacks an image of the table, or images.csv is damaged.
    """
    by_image = facts_of(workspace)
    strange = [image for image in table["image"] if image not in by_image]
    if strange:
        msg = f"{workspace.manifest} has no row for {strange[0]}; update both: dvc repro prepare"
        raise InvalidDataError(msg)
    return tuple(_measured(part, measure) for part in parts(table, by_image))


def facts_of(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Return each image's subgroup values by column, see `subgroup_values`; keyed by image."""
    records = read_rows(workspace.manifest, ImageRecord)
    listed = metadata.read(workspace.raw, (record.image for record in records))
    columns = next((entry.further for entry in listed.values()), {})
    unstated = dict.fromkeys(columns, "")
    return {
        r.image: subgroup_values(r, listed[r.image].further if r.image in listed else unstated)
        for r in records
        if not r.error
    }


def _measured(part: Part, measure: Callable[[pd.DataFrame], Mapping[str, Figure]]) -> Subgroup:
    figures = {name: figure for name, figure in measure(part.table).items() if figure.n}
    return Subgroup(column=part.column, value=part.value, figures=figures)
