"""`hgmnet serve`: the champion over HTTP; a new champion takes over without a request lost."""

import argparse
from pathlib import Path

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
    import uvicorn

    from pipelines.server.app import build_app
    from pipelines.server.start import listen, load

    with listen(args.host, args.port) as taken:
        holder = load(root, args).holder
        said = holder.served.said
        version = f" version {said['version']}" if said["version"] else ""
        address = f"http://{args.host}:{taken.getsockname()[1]}"
        print(f"{said['model']}{version} at {address}; its documentation at {address}/docs")
        print("Research use only; not a medical device. Ctrl-C ends it.")
        config = uvicorn.Config(
            build_app(holder), log_level="warning", timeout_graceful_shutdown=_GRACE_S
        )
        uvicorn.Server(config).run(sockets=[taken])
        holder.stop()
