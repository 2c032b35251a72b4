"""Demo page: drop an image, see the model's prediction."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.requests import ClientDisconnect

from hgmnet.data.reader import frame_of, open_image
from hgmnet.errors import HgmnetError
from hgmnet.pages.html import templates
from hgmnet.pages.overlays import heat_uri
from hgmnet.serving.access import Access
from hgmnet.serving.api import Endpoints, forget
from hgmnet.serving.demo import view
from hgmnet.serving.demo.samples import DemoSample, samples
from hgmnet.serving.demo.view import DemoResult, look
from hgmnet.serving.limits import DEFAULTS, MIB, Limits
from hgmnet.serving.model_card import FindCard, own_words, to_html
from hgmnet.serving.model_slot import ModelSlot
from hgmnet.serving.work_queue import WorkQueue

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing is loaded from or sent to another host, and browsers cache no patient's image."""
_PAGE = Path(__file__).parent / "templates"


class Pages:
    """The page's endpoints; one image at a time, since each uses every core."""

    def __init__(self, holder: ModelSlot, find_card: FindCard, limits: Limits) -> None:
        self._holder, self._find_card, self._limits = holder, find_card, limits
        self._samples = samples()
        self._templates = templates(_PAGE)
        self._queue = WorkQueue(limits)

    def page(self) -> HTMLResponse:
        """Return the page."""
        ramp = heat_uri(np.linspace(0, 1, 64, dtype=np.float32)[None])
        return self._fill(
            "page.html.j2",
            samples=list(self._samples.values()),
            max_bytes=self._limits.body_mib * MIB,
            max_images=self._limits.images,
            ramp=ramp,
        )

    def card(self) -> HTMLResponse:
        """Return the model's card."""
        served = self._holder.served
        card = self._find_card(served) or own_words(served)
        return self._fill("card.html.j2", card=to_html(card))

    async def look(
        self, request: Request, name: str = "image", frame: Annotated[int, Query(ge=1)] = 1
    ) -> DemoResult:
        """Predict a frame of an image, the body's bytes: PNG, JPEG, DICOM and others."""
        async with self._queue.admitted(request) as data:
            return await self._queue.turn(self._look, data, name, frame, None)

    async def look_at_sample(self, key: str) -> DemoResult:
        """Predict a synthetic image."""
        sample = self._sample(key)
        with self._queue.place():
            return await self._queue.turn(self._look, sample.png, sample.name, 1, sample)

    def sample(self, key: str) -> Response:
        """Return a synthetic image as PNG."""
        return Response(self._sample(key).png, media_type="image/png")

    def _look(self, data: bytes, name: str, frame: int, sample: DemoSample | None) -> DemoResult:
        served = self._holder.served
        try:
            file = open_image(data, name, self._limits.pixels)
            opened = frame_of(file, frame if max(frame, len(file)) > 1 else 0)
            return look(opened, name, served, sample, len(file))
        except HgmnetError as error:
            raise HTTPException(400, str(error)) from None

    def _sample(self, key: str) -> DemoSample:
        if key not in self._samples:
            raise HTTPException(404, f"no sample {key}; there are {', '.join(self._samples)}")
        return self._samples[key]

    def _fill(self, name: str, **values: object) -> HTMLResponse:
        model = view.describe_model(self._holder.served)
        return HTMLResponse(self._templates.get_template(name).render(model=model, **values))


def build_demo(
    holder: ModelSlot, find_card: FindCard, limits: Limits = DEFAULTS, hosts: Sequence[str] = ()
) -> FastAPI:
    """Build the application: the page at /, its style and script, and their endpoints.

    `hosts`: as in `hgmnet.serving.access.Access`.
    """
    app = FastAPI(title="HGM-Net", docs_url=None, redoc_url=None, openapi_url=None)
    at = Pages(holder, find_card, limits)
    app.add_middleware(Access, hosts=hosts)
    app.middleware("http")(_add_headers)
    app.add_exception_handler(ClientDisconnect, forget)
    app.get("/health")(Endpoints(holder, limits).health)
    app.get("/")(at.page)
    app.get("/card")(at.card)
    app.post("/look")(at.look)
    app.post("/samples/{key}")(at.look_at_sample)
    app.get("/samples/{key}.png")(at.sample)
    for file in ("page.css", "page.js"):
        app.get(f"/{file}")(_send(_PAGE / file))
    return app


def _send(file: Path) -> Callable[[], Awaitable[FileResponse]]:
    async def send() -> FileResponse:
        return FileResponse(file)

    return send


async def _add_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response
