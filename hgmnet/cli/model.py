"""Commands on a model: `hgmnet predict`, `export`, `serve` and `demo`.

Each has two parts: `run_<name>` finds the model given by the options, and a function does the work.
In a checkout, `pipelines.cli.model` finds the model in the registry and calls the same functions.
"""

import argparse
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hgmnet.serving.limits import add_limits, read_limits

if TYPE_CHECKING:
    from hgmnet.prediction.onnx_export import CheckImages
    from hgmnet.serving.model_card import FindCard
    from hgmnet.serving.model_slot import ModelSlot

NOTICE = "Research use only; not a medical device."
_DEMO_HOST = "127.0.0.1"
_SERVE = ("fastapi", "jinja2", "markdown_it", "prometheus_client", "uvicorn")


def configure_predict(parser: argparse.ArgumentParser) -> None:
    """Add the options of `predict`: images, output folder, model."""
    parser.add_argument("--model", type=Path, required=True, metavar="PATH", help=MODEL_OR_FILE)
    add_predict_options(parser)


MODEL_OR_FILE = "a model folder, or a file of `hgmnet export`"


def add_predict_options(parser: argparse.ArgumentParser) -> None:
    """Add all options but the model's."""
    parser.add_argument("images", nargs="+", help="files, folders, patterns; DICOM too")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--backend",
        choices=["auto", "torch", "onnx"],
        default="auto",
        help="backend: auto (the faster one available), torch or onnx",
    )
    segmentation = "also write DICOM Segmentations there; all images must be DICOM"
    parser.add_argument("--dicom-seg", type=Path, metavar="DIR", help=segmentation)
    add_depth(parser)


def add_depth(parser: argparse.ArgumentParser) -> None:
    """Add the option that declares the depth of images."""
    depth = "bits used by images of 16 bits per pixel that do not declare it"
    parser.add_argument("--bits", type=int, choices=[8, 10, 12, 14, 16], default=0, help=depth)


def run_predict(args: argparse.Namespace) -> None:
    """Write masks, overlays, predictions.csv and predictions.jsonl.

    Raises:
        ConfigError: no such images or model.
        InvalidDataError: some files could not be read; the others were predicted.
    """
    predict(args, lambda: (args.model, str(args.model)), user_cache())


def predict(
    args: argparse.Namespace,
    find_model: Callable[[], tuple[Path, str]],
    exports: Path,
    check_images: "CheckImages | None" = None,
) -> None:
    """Predict the files in `args`, from `add_predict_options`.

    `find_model` returns the model's path and display name. `exports`, `check_images`: as in
    `hgmnet.prediction.backends.load`.

    Raises:
        ConfigError: no such images or model.
        InvalidDataError: some files could not be read; the others were predicted.
    """
    from hgmnet.data.image_files import PASSED_OVER, passed_over_text
    from hgmnet.errors import InvalidDataError
    from hgmnet.prediction.dicom_seg import Segmentations
    from hgmnet.prediction.files import find_files, predict_files

    found = find_files(args.images)
    files = found.images
    path, name = find_model()

    from hgmnet.prediction import backends

    predictor, backend = backends.load(exports, path, args.backend, len(files), check_images)
    written = args.dicom_seg and Segmentations.to(args.dicom_seg, files, name, predictor.identity)
    model = {"model": name, "model_sha256": predictor.identity, "backend": backend}
    summary = predict_files(
        files,
        predictor,
        model,
        args.out,
        passed_over=found.passed_over,
        bits=args.bits,
        segmentations=written,
    )
    images = "1 image" if summary.predicted == 1 else f"{summary.predicted} images"
    print(f"{images} predicted by {name} ({backend}): {args.out}/predictions.csv")
    if found.passed_over:
        print(passed_over_text(found.passed_over, args.out / PASSED_OVER))
    print("For research; not a medical device.")
    if summary.failed:
        msg = f"{summary.failed} of {len(files)} files could not be read: see predictions.csv"
        raise InvalidDataError(msg)


def user_cache() -> Path:
    """Folder of exports for ONNX Runtime outside of a checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hgmnet" / "onnx"


def configure_export(parser: argparse.ArgumentParser) -> None:
    """Add the options of `export`: model, output file."""
    add_model(parser)
    add_export_options(parser)


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add all options but the model's."""
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="onnx")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="output file")


def run_export(args: argparse.Namespace) -> None:
    """Write the ONNX file, and the example read_onnx.py beside it.

    Raises:
        ConfigError: no such model, or a package is not installed.
        HgmnetError: the file's predictions differ from the model's.
    """
    from hgmnet.inference.predictor import TorchPredictor
    from hgmnet.prediction.onnx_export import export_checked

    predictor = TorchPredictor.load(args.model)
    print(export_checked(predictor, args.out))
    finish_export(args.out, str(args.model))


def finish_export(file: Path, name: str) -> None:
    """Write read_onnx.py beside an exported file, and print how to try it.

    Another file of that name stays; then it is read_<stem>.py.
    """
    from hgmnet.data.atomic import write_text
    from hgmnet.inference import onnx_standalone

    text, reader = Path(onnx_standalone.__file__).read_text("utf-8"), file.with_name("read_onnx.py")
    if reader.exists() and not reader.read_bytes().startswith(text.encode()[:80]):
        reader = file.with_name(f"read_{file.stem}.py")
    write_text(reader, text)
    megabytes = file.stat().st_size / 1e6
    print(f"{name}: {file}, {megabytes:.0f} MB; try: python {reader} {file} scan.png")
    print(NOTICE)


def configure_serve(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve`: model, address."""
    add_model(parser)
    add_serve_options(parser)


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """Add all options but the model's."""
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1: this machine only")
    parser.add_argument("--port", type=port, default=8080, help="8080; 0: a free one")
    _add_hosts(parser)
    log = "append every answer, by its image's hash, to a chained log there; off by default"
    parser.add_argument("--log", type=Path, metavar="DIR", help=log)
    lines = "log each request and error as a JSON line to stderr; off by default"
    parser.add_argument("--request-log", action="store_true", help=lines)
    token = "file with a token that requests must carry (else: HGMNET_TOKEN, if it is set)"  # noqa: S105
    parser.add_argument("--token-file", type=Path, metavar="FILE", help=token)
    add_limits(parser)


def port(text: str) -> int:
    """Parse the number of a TCP port, 0 to 65535; the name is part of argparse's message."""
    number = int(text)
    if not 0 <= number < 2**16:
        raise ValueError
    return number


def run_serve(args: argparse.Namespace) -> None:
    """Serve until Ctrl-C; running requests are finished first.

    Raises:
        ConfigError: the port is taken, or there is no such model.
    """
    serve(args, lambda: _slot(args.model))


def serve(args: argparse.Namespace, find_slot: "Callable[[], ModelSlot]") -> None:
    """Serve the model of a slot at `args.host` and `args.port` until Ctrl-C."""
    _check_extra("serve")
    from hgmnet.prediction.answer_log import AnswerLog
    from hgmnet.serving.access import TOKEN, find_token
    from hgmnet.serving.api import build_app
    from hgmnet.serving.connections import listen, run

    token, limits = find_token(args.token_file), read_limits(args)
    with listen(args.host, args.port) as taken:
        slot = find_slot()
        known = slot.served.described
        version = f" version {known['version']}" if known["version"] else ""
        address = f"http://{args.host}:{taken.getsockname()[1]}"
        print(f"{known['model']}{version} at {address}; its documentation at {address}/docs")
        print(f"{NOTICE} Ctrl-C ends it.")
        if not token and args.host not in {_DEMO_HOST, "localhost", "::1"}:
            print(f"Whoever reaches this address may use it: set {TOKEN}, or --token-file.")
        names = {args.host, *args.allow_host} - {"0.0.0.0", "::"}  # noqa: S104 - every address
        log = AnswerLog(args.log) if args.log else None
        app = build_app(slot, limits, sorted(names), token, log)
        run(app, taken, slot, 30, limits, json_log=args.request_log)


def _add_hosts(parser: argparse.ArgumentParser) -> None:
    name = "further name of this server, such as a proxy's; may be repeated"
    parser.add_argument(
        "--allow-host", action="append", default=[], type=_host, metavar="NAME", help=name
    )


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a host name without port and scheme")
    return text


def configure_demo(parser: argparse.ArgumentParser) -> None:
    """Add the options of `demo`: model, port, browser."""
    add_model(parser)
    add_demo_options(parser)


def add_demo_options(parser: argparse.ArgumentParser) -> None:
    """Add all options but the model's."""
    parser.add_argument("--port", type=port, default=8081, help="8081; 0: a free one")
    _add_hosts(parser)
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def run_demo(args: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C, on this machine only.

    Raises:
        ConfigError: the port is taken, or there is no such model.
    """
    from hgmnet.serving.model_card import card_beside

    demo(args, lambda: (_slot(args.model), card_beside(args.model), ""))


def demo(
    args: argparse.Namespace, find_slot: "Callable[[], tuple[ModelSlot, FindCard, str]]"
) -> None:
    """Serve the page at `args.port` until Ctrl-C.

    `find_slot` returns the model, the finder of its card, and a remark to print first.
    """
    _check_extra("demo")
    from hgmnet.serving.connections import listen, run
    from hgmnet.serving.demo.app import build_demo
    from hgmnet.serving.demo.view import describe_model

    with listen(_DEMO_HOST, args.port) as taken:
        slot, find_card, remark = find_slot()
        address = f"http://{_DEMO_HOST}:{taken.getsockname()[1]}"
        print(f"The page is at {address}; Ctrl-C ends it.")
        print(*filter(None, [remark, describe_model(slot.served)]), sep=". ", end=".\n")
        print(f"{NOTICE} Images stay on this machine.")
        if not args.no_browser:
            _open(address)
        run(build_demo(slot, find_card, hosts=args.allow_host), taken, slot, 5)


def _check_extra(command: str) -> None:
    missing = [name for name in _SERVE if not find_spec(name)]
    if missing:
        from hgmnet.errors import ConfigError

        needs = f"`hgmnet {command}` needs {', '.join(missing)}"
        raise ConfigError(f"{needs}: pip install 'hgmnet[serve]'")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option for a model folder."""
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FOLDER", help="a model folder"
    )


def _slot(folder: Path) -> "ModelSlot":
    from hgmnet.serving.model_slot import ModelSlot, load_folder

    return ModelSlot(load_folder(folder))


def _open(address: str) -> None:
    """Open a browser if there is a screen; one in the terminal would replace the program."""
    import sys
    import webbrowser

    screens = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in screens):
        webbrowser.open(address)  # the port is bound already: an early request waits
