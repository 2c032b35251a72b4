"""HTTP API: MLflow's scoring protocol, and plain image bytes."""

import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from hgmnet.errors import ConfigError
from hgmnet.inference.response import Value, answer
from hgmnet.serving.model_slot import ModelSlot

MAX_BYTES = 256 * 2**20  # per request body
MAX_IMAGES = 256  # per request
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


class Endpoints:
    """The API's endpoints; one prediction at a time, since each uses every core."""

    def __init__(self, holder: ModelSlot) -> None:
        self._holder = holder
        self._turn = threading.Lock()

    def health(self) -> Row:
        """Return the served model, and the error of the last check for another one."""
        served = self._holder.served
        return {**served.described, "code": served.code, "fault": self._holder.fault}

    async def invocations(self, batch: InvocationBatch) -> dict[str, list[Row]]:
        """Predict a batch; an unreadable image is a row with its error."""
        values = _values(batch)
        if not values:
            raise HTTPException(400, "no row; expected one image per row, base64 in column `image`")
        if len(values) > MAX_IMAGES:
            raise HTTPException(413, f"{len(values)} images; send at most {MAX_IMAGES} at a time")
        rows = await run_in_threadpool(self._look, values)
        _refuse_if_all_bad(rows)
        return {"predictions": rows}

    async def predict(self, request: Request) -> Row:
        """Predict one image, the body's bytes: PNG, JPEG or DICOM."""
        data = await read_body(request)
        rows = await run_in_threadpool(self._look, [data])
        _refuse_if_all_bad(rows)
        return rows[0]

    def _look(self, values: Sequence[object]) -> list[Row]:
        served = self._holder.served
        with self._turn:
            return answer(values, served.predictor, served.described)


def build_app(holder: ModelSlot) -> FastAPI:
    """Build the application; its API documentation is at /docs."""
    app = FastAPI(title="HGM-Net", description="Research use only; not a medical device.")
    at = Endpoints(holder)
    app.middleware("http")(hold_to_size)
    for path in ("/health", "/ping"):
        app.get(path)(at.health)
    app.post("/invocations")(at.invocations)
    app.post("/predict")(at.predict)
    return app


async def hold_to_size(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Refuse a body whose declared length is too large, before it is read."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BYTES:
        msg = f"the body has {length} bytes; at most {MAX_BYTES} are read"
        return JSONResponse({"detail": msg}, status_code=413)
    return await call_next(request)


async def read_body(request: Request) -> bytes:
    """Return the body's bytes.

    Raises:
        HTTPException: 413, the body exceeds `MAX_BYTES`, whatever its declared length; 400, it is
            empty.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_BYTES:
            raise HTTPException(413, f"the body is too large; at most {MAX_BYTES} bytes are read")
    if not data:
        raise HTTPException(400, "the body is empty; expected an image: curl --data-binary @f")
    return bytes(data)


def _refuse_if_all_bad(rows: Sequence[Row]) -> None:
    if all(row["error"] for row in rows):
        raise HTTPException(400, "; ".join(str(row["error"]) for row in rows))


def _values(batch: InvocationBatch) -> list[object]:
    """Return the images of a batch.

    Raises:
        HTTPException: 400, there is no column `image`.
    """
    if batch.dataframe_split is not None:
        table = batch.dataframe_split
        rows: list[Any] = [dict(zip(table.columns, row, strict=False)) for row in table.data]
    else:
        rows = batch.dataframe_records or batch.instances or batch.inputs or []
    values = [row.get("image") if isinstance(row, dict) else row for row in rows]
    if any(value is None for value in values):
        keys = sorted({str(key) for row in rows if isinstance(row, dict) for key in row})
        raise HTTPException(400, f"expected a column `image`, got: {', '.join(keys) or 'none'}")
    return values


def listen(host: str, port: int) -> socket.socket:
    """Bind a port, 0 for a free one; ConfigError if it is taken or the address is not local."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"{host}:{port}: {why}; take another: --port N") from None


def run(app: FastAPI, taken: socket.socket, slot: ModelSlot, grace_s: int) -> None:
    """Serve until Ctrl-C, then give running requests `grace_s` seconds to finish."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=grace_s)
    uvicorn.Server(config).run(sockets=[taken])
    slot.stop()
