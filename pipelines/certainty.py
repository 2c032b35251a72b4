"""What stage evaluate tells besides its figures: certainty.json and consistency.json."""

import pandas as pd

from hgmnet.certainty import coverage, errors, risk_areas
from hgmnet.config import NORMAL, Data, Evaluate, Model
from hgmnet.consistency import FIGURES, RULES, served
from hgmnet.evaluation import figures
from pipelines.artifacts import Certainty, Consistency, CoveragePoint, Ruled


def certainty(
    table: pd.DataFrame, data: Data, evaluate: Evaluate, model: Model, refer_above: float | None
) -> Certainty:
    """Whether uncertainty tells where the model errs, of one split's rows of per_image.csv."""
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
    """What each consistency rule does, of one split's rows of per_image.csv.

    Nothing where the model or the classes give the rules no sense.
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
