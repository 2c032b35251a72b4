"""Check before a training that a model of these settings can pass the gate."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hgmnet.config.change_plan import ChangePlans, load_plans
from hgmnet.config.evaluation import Check
from hgmnet.config.params import Params, load_params
from hgmnet.errors import ConfigError
from hgmnet.splitting.split_lock import SplitRow
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.gate.change_plan import Design, check_design
from pipelines.gate.checks import Figures, images_for, validate_checks

_FIX = {
    "plans": "add one: hgmnet init <data set>, or docs/gate.md",
    "allowed.data": "set registry.name to this data set's own",
    "fixed.classes": "change data.classes, or the plan",
}
"""Clauses about what a model is of, which no training can meet, and what to do."""


def refuse_impossible(root: Path) -> None:
    """Check name, plan, checks and classes; print a warning for other clauses that are breached.

    Raises:
        ConfigError: params.yaml or pccp.yaml is invalid, or the gate would refuse any model of
            these settings; the message has all reasons.
    """
    params = load_params(root / "params.yaml")
    space = Workspace(root, params.data.name)
    plans = load_plans(space.change_plan)
    counts = None
    if params.evaluate.include_test and space.split_csv.exists():
        rows = read_rows(space.split_csv, SplitRow)
        counts = Counter(row.label for row in rows if row.status == "test")
    if found := list(faults(plans, params, counts)):
        raise ConfigError("no model of these settings can pass the gate: " + "; ".join(found))
    for clause, why in _breached(plans, params):
        print(f"warning: the gate will refuse this model: {clause}: {why}", file=sys.stderr)


def faults(plans: ChangePlans, params: Params, counts: Mapping[str, float] | None) -> Iterator[str]:
    """Yield why no model of these settings can pass; `counts`: test images by class, if known."""
    name = params.registry.name
    for clause, why in _breached(plans, params):
        if clause in _FIX:
            yield f"pccp.yaml, plan of {name}, {clause}: {why}; {_FIX[clause]}"
    yield from _of_checks(params.gate.checks, params, counts, "params.yaml, gate.checks")
    if plan := plans.plans.get(name):
        at = f"pccp.yaml, plans.{name}.acceptance"
        yield from _of_checks(plan.acceptance, params, counts, at)


def _breached(plans: ChangePlans, params: Params) -> Iterator[tuple[str, str]]:
    design = Design(params.data.name, params.data.classes, params.model, params.prepare)
    for clause in check_design(plans, params.registry.name, design):
        if clause.status == "breached":
            yield clause.clause, clause.reason


def _of_checks(
    checks: Sequence[Check], params: Params, counts: Mapping[str, float] | None, at: str
) -> Iterator[str]:
    classes = params.data.classes
    try:
        validate_checks(checks, Figures(None, ()), classes, at)
    except ConfigError as error:
        yield str(error)
        return
    for check in checks:
        if not images_for(check, dict.fromkeys(classes, 1)):
            has = f"no class of data.classes ({', '.join(classes)}) has images for it"
            yield f"{at}: {check.metric}: {has}; remove the check"
        elif counts is not None and (most := images_for(check, counts)) < check.min_n:
            few = f"min_n is {check.min_n}, and the test split has {most:.0f} images for it"
            yield f"{at}: {check.metric}: {few}; lower min_n, or add images"
