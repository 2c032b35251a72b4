"""Requests made up from the OpenAPI page of `hgmnet serve`: each is answered as the page states."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.schemas import BaseSchema

from hgmnet.serving.api import build_app
from hgmnet.serving.model_slot import ModelSlot, load_folder
from tests.tiny_repository import make_repository

pytestmark = pytest.mark.slow
EXAMPLES = 40
TRIED = (
    ("GET /health", "positive"),
    ("GET /ping", "positive"),
    ("GET /ready", "positive"),
    ("GET /metrics", "positive"),
    ("POST /invocations", "negative"),
    ("POST /invocations", "positive"),
    ("POST /predict", "negative"),
    ("POST /predict", "positive"),
)
"""Operations, and whether their requests are as the schema allows; any bytes are for /predict."""
VALID = ("positive_data_acceptance",)
"""Not checked: a body that the schema allows is mostly no image, and is refused."""


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> BaseSchema:
    workspace = make_repository(tmp_path_factory.mktemp("repository"))
    app = build_app(ModelSlot(load_folder(workspace.model)))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def test_every_operation_is_tried(schema: BaseSchema) -> None:
    known = [one.ok().label for one in schema.get_all_operations()]
    assert sorted(known) == sorted({label for label, _ in TRIED})


@pytest.mark.parametrize(("label", "mode"), TRIED)
def test_answers_are_as_the_page_states(schema: BaseSchema, label: str, mode: str) -> None:
    method, path = label.split(" ")
    operation = schema[path][method]
    strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def ask(case: schemathesis.Case) -> None:
        left_out = [checks.CHECKS.get_one(name) for name in VALID]
        case.call_and_validate(excluded_checks=left_out)

    ask()
