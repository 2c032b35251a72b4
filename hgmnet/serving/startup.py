"""Open a server's port, run the server and shut it down."""

import socket
from typing import TYPE_CHECKING

from hgmnet.errors import ConfigError
from hgmnet.serving.model_slot import ModelSlot

if TYPE_CHECKING:
    from fastapi import FastAPI


def listen(host: str, port: int) -> socket.socket:
    """Bind a port; 0 chooses a free one.

    Raises:
        ConfigError: the port is in use, or the host is not an address of this machine.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"{host}:{port}: {why}; take another: --port N") from None


def run(app: "FastAPI", taken: socket.socket, slot: ModelSlot, grace_s: int) -> None:
    """Serve until Ctrl-C, then wait up to `grace_s` seconds for requests that have arrived."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=grace_s)
    uvicorn.Server(config).run(sockets=[taken])
    slot.stop()
