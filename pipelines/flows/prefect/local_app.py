"""Prefect's server for one machine: it answers only to this machine's own names.

A web page can have its host's name lead here (DNS rebinding). For the browser the server then is of
that page's own origin, so that Prefect's list of allowed origins does not apply. Prefect itself
answers to any name.
"""

import os
from urllib.parse import urlsplit

from prefect.server.api.server import create_app
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pipelines.operations.local_services import ORIGINS


def local_app() -> TrustedHostMiddleware:
    """Make the server, for uvicorn; it also answers to the hosts of the allowed origins."""
    origins = os.environ.get(ORIGINS, "").split(",")
    hosts = {urlsplit(origin).hostname or origin for origin in origins if origin}
    return TrustedHostMiddleware(create_app(), ["127.0.0.1", "localhost", *sorted(hosts)])
