"""HTTP API: MLflow's scoring protocol, plain image bytes, probes and metrics."""

import hashlib
import time
from collections.abc import Sequence
from email.message import Message
from email.parser import BytesHeaderParser
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from hgmnet.inference.response import Value, answer_in_parts, to_bytes
from hgmnet.pages.html import templates
from hgmnet.prediction.answer_log import AnswerLog, logged
from hgmnet.serving.access import Access
from hgmnet.serving.limits import DEFAULTS, Limits
from hgmnet.serving.model_slot import ModelSlot
from hgmnet.serving.monitoring import Monitor, Monitored
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
    dataframe_split: DataframeSplit | None = Field(
        None, description="columns: ['image'], data: [[base64 of a file], ...]"
    )
    dataframe_records: list[dict[str, Any]] | None = Field(
        None, description="[{image: base64 of a file}, ...]"
    )
    instances: list[Any] | None = Field(None, description="as dataframe_records, or as inputs")
    inputs: list[Any] | None = Field(None, description="[base64 of a file, ...]")


class Answer(BaseModel):
    """What was found in one image; besides, `prob_<class>`: each class's calibrated probability.

    Lengths are in pixels of the image as it was sent. A value that does not exist is null, and so
    are all but `error` and the model's if the image could not be read.
    """

    model_config = ConfigDict(extra="allow", serialize_by_alias=True)
    __pydantic_extra__: dict[str, float | None] = Field(init=False)
    decision: str | None = Field(description="the class; malignant from its threshold on")
    likeliest: str | None = Field(alias="class", description="the most probable class")
    uncertainty: float | None = Field(description="0 to 1")
    refer: bool | None = Field(description="a reader should review the image")
    malignant_threshold: float | None
    lesion_area_px: int | None = Field(description="0 without a lesion")
    lesion_area_mm2: float | None = Field(description="if the file has the pixel spacing")
    left: int | None = Field(description="of the box around the lesion, null without one")
    top: int | None
    right: int | None
    bottom: int | None
    mask_png: str | None = Field(description="the mask, 0 and 255, as base64 of a PNG file")
    model: str
    version: str = Field(description="in the registry; empty for a folder")
    model_sha256: str
    error: str = Field(description="why the image was not answered; else empty")


class Predictions(BaseModel):
    """The answers of a batch, one per image, in order."""

    predictions: list[Answer]


class Health(BaseModel):
    """The served model."""

    model: str
    version: str = Field(description="in the registry; empty for a folder")
    model_sha256: str
    code: str = Field(description="how the installed code relates to the version's own")
    fault: str = Field(description="what is wrong in the registry; empty for nothing")


class Readiness(BaseModel):
    """Whether another request would be taken."""

    waiting: int = Field(description="requests that wait for the model or use it")


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: Any


class Endpoints:
    """The API's endpoints; one prediction at a time, since each uses every core."""

    def __init__(self, holder: ModelSlot, limits: Limits, log: AnswerLog | None = None) -> None:
        self._holder, self._limits, self._log = holder, limits, log
        self._queue = WorkQueue(limits)
        self.monitor = Monitor(holder, self._queue)

    async def health(self) -> Health:
        """Return the served model, and the error of the last check for another one."""
        served = self._holder.served
        fault = self._holder.fault.encode(errors="replace").decode()  # a path need not be UTF-8
        return Health.model_validate({**served.described, "code": served.code, "fault": fault})

    async def ready(self) -> Readiness:
        """Answer 200 if another image would be taken, and 503 if the queue is full."""
        waiting = self._queue.waiting
        with self._queue.place():
            return Readiness(waiting=waiting)

    def metrics(self) -> Response:
        """Return counts, seconds, queue, version, refer share and drift in Prometheus's format."""
        return Response(generate_latest(self.monitor.registry), media_type=CONTENT_TYPE_LATEST)

    async def invocations(self, request: Request) -> Predictions:
        """Predict a batch; an unreadable image is a row with its error."""
        async with self._queue.admitted(request) as body:
            values = await self._queue.turn(_values, body, self._limits.images)
            return Predictions.model_validate({"predictions": await self._predict(request, values)})

    async def predict(
        self, request: Request, frame: Annotated[int | None, Query(ge=1)] = None
    ) -> Answer:
        """Predict one image, as the body or as the file of a form: PNG, JPEG, DICOM and others.

        `frame`: its number, from 1, in a file of several.
        """
        async with self._queue.admitted(request) as body:
            data, kind = body, request.headers.get("content-type", "")
            if kind.lower().startswith("multipart/form-data"):
                data = await run_in_threadpool(_form_file, body, kind)
            rows = await self._predict(request, [data], frame or 0)
            return Answer.model_validate(rows[0])

    async def _predict(
        self, request: Request, values: Sequence[object], frame: int = 0
    ) -> list[Row]:
        served, start = self._holder.served, time.monotonic()
        known, most = served.described, self._limits.pixels
        observe = partial(self.monitor.observe, served)
        parts = answer_in_parts(values, served.predictor, known, most, frame=frame, observe=observe)
        rows = await self._queue.turns(request, parts)
        if all(row["error"] for row in rows):
            raise HTTPException(400, "; ".join(str(row["error"]) for row in rows))
        if self._log is not None:
            seconds = time.monotonic() - start
            await run_in_threadpool(self._record, values, rows, seconds, frame)
        return rows

    def _record(
        self, values: Sequence[object], rows: Sequence[Row], seconds: float, frame: int
    ) -> None:
        """Append the answers to the log; HTTPException 503 if that fails, and none is sent."""
        answers = [
            logged(hashlib.sha256(to_bytes(value, "")).hexdigest(), row, seconds, frame)
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
    app.add_middleware(Monitored, monitor=at.monitor)  # the outer one: refusals are counted too
    app.add_exception_handler(ClientDisconnect, forget)
    for path in ("/health", "/ping"):
        app.get(path, responses=_problems(400, 401, 403))(at.health)
    app.get("/ready", responses=_problems(400, 401, 403, 503))(at.ready)
    app.get("/metrics", response_class=PlainTextResponse, responses=_problems(400, 401, 403))(
        at.metrics
    )
    problems = _problems(400, 401, 403, 413, 422, 503)
    app.post(
        "/invocations",
        responses=problems,
        openapi_extra=_body({"application/json": _batch_schema()}),
    )(at.invocations)
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"image": binary}, "required": ["image"]}
    kinds = _body({"application/octet-stream": binary, "multipart/form-data": form})
    app.post("/predict", responses=problems, openapi_extra=kinds)(at.predict)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = templates(Path(__file__).parent / "templates").get_template("docs.html.j2")
        return HTMLResponse(page.render(api=app.openapi()))

    return app


async def forget(_: Request, __: Exception) -> Response:
    """Answer a client that has gone, which nobody reads."""
    return Response(status_code=400)


def _form_file(body: bytes, kind: str) -> bytes:
    """Return the one file of a form, RFC 7578; `kind`: its content type.

    Nothing is written to disk, as form parsers do with large files.

    Raises:
        HTTPException: 400, it has no file, or several.
    """
    head = Message()
    head["content-type"] = kind
    boundary = (head.get_boundary() or "").encode("latin-1", "replace")
    files = []
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:] if boundary else ():
        lines, _, content = part.partition(b"\r\n\r\n")
        if BytesHeaderParser().parsebytes(lines.lstrip()).get_filename() is not None:
            files.append(content)
    if len(files) != 1 or not files[0]:
        raise HTTPException(400, f"the form has {len(files)} files; expected: curl -F image=@FILE")
    return files[0]


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


def _body(schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    content = {kind: {"schema": schema} for kind, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def _batch_schema() -> dict[str, Any]:
    """JSON schema of a batch, with the table's schema inside."""
    schema = InvocationBatch.model_json_schema()
    table = schema.pop("$defs")["DataframeSplit"]
    schema["properties"]["dataframe_split"]["anyOf"][0] = table
    return schema
