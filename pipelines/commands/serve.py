"""`hgmnet serve`: the champion over HTTP; a new champion takes over without a request lost."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.server.holder import Holder

_GRACE_S = 30


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the address, and which model."""
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1, this machine alone")
    parser.add_argument("--port", type=int, default=8080, help="8080; 0: a free one")
    parser.add_argument("--seconds", type=float, default=5.0, help="between looks at the alias (5)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="FOLDER", help="a model folder, no registry")
    which.add_argument("--version", metavar="N", help="a registered version, for good")


def run(root: Path, args: argparse.Namespace) -> None:
    """Serve until Ctrl-C; requests under way are answered first.

    Raises:
        ConfigError: the port is taken, or there is no such model.
    """
    import socket

    import uvicorn

    from hgmnet.errors import ConfigError
    from pipelines.server.app import build_app

    try:
        taken = socket.create_server((args.host, args.port))
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise ConfigError(f"{args.host}:{args.port}: {why}; take another: --port N") from None
    with taken:
        holder = _holder(root, args)
        said = holder.served.said
        version = f" version {said['version']}" if said["version"] else ""
        address = f"http://{args.host}:{taken.getsockname()[1]}"
        print(f"{said['model']}{version} at {address}; its documentation at {address}/docs")
        print("Research use only; not a medical device. Ctrl-C ends it.", flush=True)
        config = uvicorn.Config(
            build_app(holder), log_level="warning", timeout_graceful_shutdown=_GRACE_S
        )
        uvicorn.Server(config).run(sockets=[taken])
        holder.stop()


def _holder(root: Path, args: argparse.Namespace) -> "Holder":
    from pipelines.server.holder import Holder, champion, load_folder, newer

    if args.model is not None:
        return Holder(load_folder(args.model))
    from hgmnet.config import load_params
    from pipelines.registry.store import open_store_patiently

    params = load_params(root / "params.yaml")
    name, cache = params.registry.name, root / ".hgmnet" / "versions"
    store = open_store_patiently(root, params.data.name)
    holder = Holder(champion(store, name, cache, args.version))
    if args.version is None:
        holder.watch(lambda: newer(store, name, cache, holder), args.seconds)
    return holder
