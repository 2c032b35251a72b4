"""`hgmnet serve`, `hgmnet demo` and `hgmnet up`."""

import argparse
from pathlib import Path

_SERVE_GRACE_S = 30


def configure_serve(parser: argparse.ArgumentParser) -> None:
    """Take the address, and which model."""
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1, this machine alone")
    parser.add_argument("--port", type=int, default=8080, help="8080; 0: a free one")
    parser.add_argument(
        "--poll-seconds", type=float, default=5.0, help="between two readings of the alias (5)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="FOLDER", help="a model folder, no registry")
    which.add_argument("--version", metavar="N", help="a registered version, for good")


def run_serve(root: Path, args: argparse.Namespace) -> None:
    """Serve until Ctrl-C; requests under way are answered first.

    Raises:
        ConfigError: the port is taken, or there is no such model.
    """
    import uvicorn

    from pipelines.serving.api import build_app
    from pipelines.serving.startup import listen, load

    with listen(args.host, args.port) as taken:
        holder = load(root, args).holder
        said = holder.served.said
        version = f" version {said['version']}" if said["version"] else ""
        address = f"http://{args.host}:{taken.getsockname()[1]}"
        print(f"{said['model']}{version} at {address}; its documentation at {address}/docs")
        print("Research use only; not a medical device. Ctrl-C ends it.")
        config = uvicorn.Config(
            build_app(holder), log_level="warning", timeout_graceful_shutdown=_SERVE_GRACE_S
        )
        uvicorn.Server(config).run(sockets=[taken])
        holder.stop()


HOST = "127.0.0.1"
_DEMO_GRACE_S = 5
_WATCH_S = 5.0


def configure_demo(parser: argparse.ArgumentParser) -> None:
    """Take the port, which model, and whether to open a browser."""
    parser.add_argument("--port", type=int, default=8081, help="8081; 0: a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="FOLDER", help="a model folder, no registry")
    which.add_argument("--version", metavar="N", help="a registered version, for good")
    parser.set_defaults(poll_seconds=_WATCH_S)


def run_demo(root: Path, args: argparse.Namespace) -> None:
    """Show the page until Ctrl-C; this machine alone can see it.

    Raises:
        ConfigError: the port is taken, or there is no such model.
    """
    import uvicorn

    from pipelines.serving.demo.app import build_demo
    from pipelines.serving.demo.view import model
    from pipelines.serving.startup import listen, load

    with listen(HOST, args.port) as taken:
        loaded = load(root, args, or_challenger=True)
        address = f"http://{HOST}:{taken.getsockname()[1]}"
        print(f"The page is at {address}; Ctrl-C ends it.")
        print(*filter(None, [loaded.remark, model(loaded.holder.served)]), sep=". ", end=".\n")
        print("Research use only; not a medical device. Images stay on this machine.")
        if not args.no_browser:
            _open(address)
        app = build_demo(loaded.holder, loaded.find_card)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_DEMO_GRACE_S)
        uvicorn.Server(config).run(sockets=[taken])
        loaded.holder.stop()


def _open(address: str) -> None:
    """Open a browser where there is a screen; one in the terminal would take its place."""
    import os
    import sys
    import webbrowser

    screens = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in screens):
        webbrowser.open(address)  # the port is taken already: what comes too early waits


def configure_up(parser: argparse.ArgumentParser) -> None:
    """Take the ports."""
    parser.add_argument("--prefect-port", type=int, default=4200, metavar="N", help="4200")
    parser.add_argument("--mlflow-port", type=int, default=5000, metavar="N", help="5000")


def run_up(root: Path, args: argparse.Namespace) -> None:
    """Start what is missing, and keep it until Ctrl-C.

    Raises:
        ConfigError: a port is taken, a server does not start, or the deployments are refused.
        HgmnetError: one of them ended by itself, or another `hgmnet up` runs here.
    """
    from pipelines.operations.local_services import Services

    with Services(root) as services:
        services.start_prefect(args.prefect_port)
        services.start_mlflow(args.mlflow_port)
        services.deploy()
        services.start_worker()
        print(f"Deployments of prefect.yaml are up; logs: {services.logs}. Ctrl-C ends all of it.")
        services.wait()
