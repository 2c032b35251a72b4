"""What an operator sees of a server: Prometheus metrics, request ids, one JSON line per request."""

import json
import logging
import re
import time
from collections import deque
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from uuid import uuid4

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hgmnet.data.image_statistics import measure
from hgmnet.data.images import Grey
from hgmnet.errors import redact_credentials
from hgmnet.evaluation.drift import by_column, compare, predicted_columns
from hgmnet.inference.postprocess import Prediction
from hgmnet.serving.model_slot import LoadedModel, ModelSlot
from hgmnet.serving.work_queue import WorkQueue

REQUEST_ID = "X-Request-ID"
RECENT = 500
"""Images whose refer share and drift are shown: the last that the served model answered."""
_MEASURED = 2**24  # pixels; measuring larger images would take much memory
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LOG = logging.getLogger("hgmnet.serving")
_request_id: ContextVar[str] = ContextVar("request_id", default="")
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second line for each counter


class Monitor(Collector):
    """Counts what a server answers, without images and names; `registry` has it for Prometheus."""

    def __init__(self, slot: ModelSlot, queue: WorkQueue) -> None:
        self._slot, self._queue, self.registry = slot, queue, CollectorRegistry()
        self._model, self._recent = slot.served, deque[tuple[bool, dict[str, float]]]()
        self._requests = Counter(
            "hgmnet_requests", "Requests", ["path", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "hgmnet_request_seconds",
            "Seconds from a request's head to the end of its answer",
            ["path"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._images = Counter(
            "hgmnet_images",
            "Images answered",
            ["version", "decision", "refer"],
            registry=self.registry,
        )
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def observe(self, served: LoadedModel, grey: Grey, prediction: Prediction) -> None:
        """Count an image, (H, W) uint8, and keep its statistics; one thread at a time."""
        refer = prediction.refer
        self._images.labels(served.version, prediction.decision, str(refer).lower()).inc()
        if served is not self._slot.served or grey.size > _MEASURED:
            return
        if served is not self._model:
            self._model, self._recent = served, deque()
        learnt = served.predictor.spec.model
        facts = measure(grey).model_dump() | predicted_columns(prediction, learnt)
        self._recent.append((refer, facts))
        if len(self._recent) > RECENT:
            self._recent.popleft()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what is computed when it is read."""
        names = ("model", "version", "model_sha256")
        info = GaugeMetricFamily("hgmnet_model_info", "The served model; always 1", labels=names)
        info.add_metric([str(self._slot.served.described[name]) for name in names], 1)
        yield info
        waiting, fault = self._queue.waiting, bool(self._slot.fault)
        yield GaugeMetricFamily("hgmnet_queue_length", "Requests that wait or run", waiting)
        yield GaugeMetricFamily("hgmnet_registry_fault", "1 if /health has a fault", fault)
        recent, profile = self._recent.copy(), self._model.profile
        if not recent:
            return
        share = sum(refer for refer, _ in recent) / len(recent)
        yield GaugeMetricFamily("hgmnet_refer_share", f"Of the last {RECENT} images", share)
        shifts = compare(profile, by_column([facts for _, facts in recent])) if profile else ()
        distance, bound = "Kolmogorov-Smirnov distance to the training images", "Largest by chance"
        drift = GaugeMetricFamily("hgmnet_drift", distance, labels=["column"])
        most = GaugeMetricFamily("hgmnet_drift_bound", bound, labels=["column"])
        for shift in shifts:
            drift.add_metric([shift.column], shift.statistic)
            most.add_metric([shift.column], shift.bound)
        yield from (drift, most)


class Monitored:
    """ASGI middleware: every answer has a request id, is counted and logged.

    A client's own `X-Request-ID` is kept if it has at most 128 letters, digits, `.`, `_` and `-`.
    """

    def __init__(self, app: ASGIApp, monitor: Monitor) -> None:
        self._app, self._monitor = app, monitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, with its id in the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        name = given if _ID.fullmatch(given) else uuid4().hex
        _request_id.set(name)
        start, status = time.perf_counter(), 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = name
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            seconds = round(time.perf_counter() - start, 6)
            path = getattr(scope.get("route"), "path", "other")
            self._monitor.count(path, status, seconds)
            facts = {"method": scope["method"], "path": path, "status": status, "seconds": seconds}
            _LOG.info("request", extra={"facts": facts})


class JsonLines(logging.Formatter):
    """One JSON object per log record; it has no query, body, file name or client address."""

    def format(self, record: logging.LogRecord) -> str:
        """Format time (UTC), level, logger, message, request id, and a request's facts."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": when, "level": record.levelname.lower(), "logger": record.name}
        entry |= {"message": redact_credentials(record.getMessage())}
        entry |= {"request_id": _request_id.get()} | getattr(record, "facts", {})
        if record.exc_info:
            entry["error"] = redact_credentials(self.formatException(record.exc_info))
        return json.dumps({key: value for key, value in entry.items() if value != ""})


def log_as_json() -> None:
    """Write every log record as a JSON line to stderr, requests among them."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], force=True)
    _LOG.setLevel(logging.INFO)
