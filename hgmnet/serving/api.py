"""HTTP API: MLflow's scoring protocol, and plain image bytes."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect

from hgmnet.inference.response import Value, answer_in_parts, to_bytes
from hgmnet.pages.html import templates
from hgmnet.prediction.answer_log import AnswerLog, logged
from hgmnet.serving.access import Access
from hgmnet.serving.limits import DEFAULTS, Limits
from hgmnet.serving.model_slot import ModelSlot
from hgmnet.serving.work_queue import WorkQueue

MAX_VALUES = 100_000
"""Commas, colons and brackets in a batch: each may become a value of 64 bytes or more."""
Row = dict[str, Value]


class DataframeSplit(BaseModel):
    """A table in the format of pandas' `to_dict(orient="split")`."""

    model_config = ConfigDict(extra="ignore")
    columns: list[str]
    data: list[list[Any]]


class InvocationBatch(BaseModel):
    """One of MLflow's forms: `dataframe_split`, `dataframe_records`, `instances` or `inputs`."""

    model_config = ConfigDict(extra="forbid")
    dataframe_split: DataframeSplit | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | None = None
    inputs: list[Any] | None = None


class Predictions(BaseModel):
    """The rows of a batch, one per image, in order."""

    predictions: list[Row]


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: Any


class Endpoints:
    """The API's endpoints; one prediction at a time, since each uses every core."""

    def __init__(self, holder: ModelSlot, limits: Limits, log: AnswerLog | None = None) -> None:
        self._holder, self._limits, self._log = holder, limits, log
        self._queue = WorkQueue(limits)

    async def health(self) -> Row:
        """Return the served model, and the error of the last check for another one."""
        served = self._holder.served
        fault = self._holder.fault.encode(errors="replace").decode()  # a path need not be UTF-8
        return {**served.described, "code": served.code, "fault": fault}

    async def invocations(self, request: Request) -> Predictions:
        """Predict a batch; an unreadable image is a row with its error."""
        async with self._queue.admitted(request) as body:
            values = await self._queue.turn(_values, body, self._limits.images)
            return Predictions(predictions=await self._predict(request, values))

    async def predict(self, request: Request) -> Row:
        """Predict one image, the body's bytes: PNG, JPEG, BMP, TIFF, GIF, WebP or DICOM."""
        async with self._queue.admitted(request) as body:
            return (await self._predict(request, [body]))[0]

    async def _predict(self, request: Request, values: Sequence[object]) -> list[Row]:
        served, start = self._holder.served, time.monotonic()
        parts = answer_in_parts(values, served.predictor, served.described, self._limits.pixels)
        rows = await self._queue.turns(request, parts)
        if all(row["error"] for row in rows):
            raise HTTPException(400, "; ".join(str(row["error"]) for row in rows))
        if self._log is not None:
            await run_in_threadpool(self._record, values, rows, time.monotonic() - start)
        return rows

    def _record(self, values: Sequence[object], rows: Sequence[Row], seconds: float) -> None:
        """Append the answers to the log; HTTPException 503 if that fails, and none is sent."""
        answers = [
            logged(hashlib.sha256(to_bytes(value, "")).hexdigest(), row, seconds)
            for value, row in zip(values, rows, strict=True)
            if not row["error"]
        ]
        try:
            if self._log is not None:
                self._log.append(answers)
        except OSError as error:
            why = error.strerror or "the log can't be written"
            raise HTTPException(503, f"the answer can't be logged: {why}") from None


def build_app(
    holder: ModelSlot,
    limits: Limits = DEFAULTS,
    hosts: Sequence[str] = (),
    token: str = "",
    log: AnswerLog | None = None,
) -> FastAPI:
    """Build the application; its API documentation is at /docs.

    `hosts`, `token`: as in `hgmnet.serving.access.Access`. `log`: every answer is appended to it
    before it is sent.
    """
    app = FastAPI(
        title="HGM-Net",
        description="Research use only; not a medical device.",
        docs_url=None,
        redoc_url=None,
    )
    at = Endpoints(holder, limits, log)
    app.add_middleware(Access, hosts=hosts, token=token)
    app.add_exception_handler(ClientDisconnect, forget)
    for path in ("/health", "/ping"):
        app.get(path, responses=_problems(400, 401, 403))(at.health)
    problems = _problems(400, 401, 403, 413, 422, 503)
    app.post("/invocations", responses=problems, openapi_extra=_body(_batch_schema()))(
        at.invocations
    )
    binary = {"type": "string", "format": "binary"}
    image = _body(binary, "application/octet-stream")
    app.post("/predict", responses=problems, openapi_extra=image)(at.predict)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = templates(Path(__file__).parent / "templates").get_template("docs.html.j2")
        return HTMLResponse(page.render(api=app.openapi()))

    return app


async def forget(_: Request, __: Exception) -> Response:
    """Answer a client that has gone, which nobody reads."""
    return Response(status_code=400)


def _values(body: bytes, most: int) -> list[object]:
    """Return the images of a batch.

    Raises:
        HTTPException: 400, there is no column `image`, or no row; 413, there are too many values.
        RequestValidationError: the batch has none of MLflow's forms.
    """
    if sum(map(body.count, (b",", b":", b"[", b"{"))) > MAX_VALUES:
        raise HTTPException(413, f"more than {MAX_VALUES} values; send fewer rows or columns")
    try:
        batch = InvocationBatch.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError(
            [{**p, "loc": ("body", *p["loc"])} for p in problems[:10]]
        ) from None
    if batch.dataframe_split is not None:
        table = batch.dataframe_split
        rows: list[Any] = [dict(zip(table.columns, row, strict=False)) for row in table.data]
    else:
        rows = batch.dataframe_records or batch.instances or batch.inputs or []
    values = [row.get("image") if isinstance(row, dict) else row for row in rows]
    if not values:
        raise HTTPException(400, "no row; expected one image per row, base64 in column `image`")
    if len(values) > most:
        raise HTTPException(413, f"{len(values)} images; send at most {most} at a time")
    if any(value is None for value in values):
        keys = sorted({str(key) for row in rows if isinstance(row, dict) for key in row})
        named = ", ".join(keys)[:200] or "none"
        raise HTTPException(400, f"expected a column `image`, got: {named}")
    return values


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in statuses}


def _body(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def _batch_schema() -> dict[str, Any]:
    """JSON schema of a batch, with the table's schema inside."""
    schema = InvocationBatch.model_json_schema()
    table = schema.pop("$defs")["DataframeSplit"]
    schema["properties"]["dataframe_split"]["anyOf"][0] = table
    return schema
