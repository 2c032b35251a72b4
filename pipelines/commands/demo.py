"""`hgmnet demo`: a page on this machine to look at images with the model."""

import argparse
from pathlib import Path

HOST = "127.0.0.1"
_GRACE_S = 5
_WATCH_S = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the port, which model, and whether to open a browser."""
    parser.add_argument("--port", type=int, default=8081, help="8081; 0: a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="FOLDER", help="a model folder, no registry")
    which.add_argument("--version", metavar="N", help="a registered version, for good")
    parser.set_defaults(seconds=_WATCH_S)


def run(root: Path, args: argparse.Namespace) -> None:
    """Show the page until Ctrl-C; this machine alone can see it.

    Raises:
        ConfigError: the port is taken, or there is no such model.
    """
    import uvicorn

    from pipelines.server.demo import build_demo
    from pipelines.server.start import listen, load
    from pipelines.server.words import model

    with listen(HOST, args.port) as taken:
        loaded = load(root, args, or_challenger=True)
        address = f"http://{HOST}:{taken.getsockname()[1]}"
        print(f"The page is at {address}; Ctrl-C ends it.")
        print(*filter(None, [loaded.remark, model(loaded.holder.served)]), sep=". ", end=".\n")
        print("Research use only; not a medical device. Images stay on this machine.")
        if not args.no_browser:
            _open(address)
        app = build_demo(loaded.holder, loaded.find_card)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE_S)
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
