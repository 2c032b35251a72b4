"""The gate's verdict on the evaluated model, from the files that the stages wrote."""

from hgmnet.config.change_plan import load_plans
from hgmnet.config.data import Data
from hgmnet.config.evaluation import Gate
from hgmnet.config.operation import Registry
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation.drift import DriftReport
from hgmnet.models.spec import load_operating, load_spec
from pipelines.artifacts.evaluation import Evaluation, Subgroups
from pipelines.artifacts.gate import GateResult
from pipelines.artifacts.io import read_json
from pipelines.artifacts.lineage import hash_file
from pipelines.artifacts.paths import Workspace
from pipelines.gate.change_plan import Candidate, Design, check_change_plan
from pipelines.gate.checks import Figures, evaluate_check, validate_checks, verdict


def judge(space: Workspace, data: Data, gate: Gate, registry: Registry) -> GateResult:
    """Compare the figures with the bounds, and the model with its change plan.

    Equal files and settings give equal results, so `register` calls this again and compares.

    Raises:
        ConfigError: pccp.yaml is absent or damaged, or a check, there or in params.yaml, names a
            metric or a column that does not exist.
        InvalidDataError: a file of the evaluation is absent or damaged.
    """
    if not space.per_image.exists():
        raise InvalidDataError(f"{space.per_image} is missing; `dvc repro` makes it")
    plans = load_plans(space.change_plan)
    evaluation = read_json(space.metrics, Evaluation)
    groups = read_json(space.subgroups, Subgroups).groups
    figures = Figures(evaluation.test, groups, evaluation.baselines)
    validate_checks(gate.checks, figures, data.classes, "params.yaml, gate.checks")
    if plan := plans.plans.get(registry.name):
        classes = {*data.classes, *plan.fixed.classes}
        at = f"pccp.yaml, plans.{registry.name}.acceptance"
        validate_checks(plan.acceptance, figures, sorted(classes), at)
    spec = load_spec(space.model)
    candidate = Candidate(
        registry=registry.name,
        design=Design(spec.data, spec.classes, spec.model, spec.prepare),
        operating=load_operating(space.model),
        figures=figures,
        drift=read_json(space.evaluation_drift, DriftReport),
    )
    checks = tuple(evaluate_check(check, figures) for check in gate.checks)
    clauses = check_change_plan(plans, candidate)
    judged = (space.metrics, space.per_image, space.subgroups, space.evaluation_drift)
    return GateResult(
        data=evaluation.data,
        test_sha=evaluation.test_sha,
        status=verdict(figures, checks, clauses),
        checks=checks,
        registry=registry.name,
        plan_sha256=hash_file(space.change_plan),
        plan=clauses,
        intended_use=plan.intended_use if plan else "",
        model=evaluation.model,
        files={path.name: hash_file(path) for path in judged},
    )
