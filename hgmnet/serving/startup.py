"""What every server here begins with: a port; and how it runs and ends."""

import socket
from typing import TYPE_CHECKING

from hgmnet.errors import ConfigError
from hgmnet.serving.model_slot import ModelSlot

if TYPE_CHECKING:
    from fastapi import FastAPI


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 is a free one.

    Raises:
        ConfigError: it is taken, or there is no such address here.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"{host}:{port}: {why}; take another: --port N") from None


def run(app: "FastAPI", taken: socket.socket, slot: ModelSlot, grace_s: int) -> None:
    """Serve until Ctrl-C, then give requests that have arrived `grace_s` seconds."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=grace_s)
    uvicorn.Server(config).run(sockets=[taken])
    slot.stop()
