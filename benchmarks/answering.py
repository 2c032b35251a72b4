"""What lies around a finding: `python benchmarks/answering.py [--model FOLDER] [--turns 5]`.

    start     `hgmnet predict` of one image, from its start to its end, by torch and ONNX Runtime
    endpoint  one image over HTTP on this machine against the Predictor on the same bytes, in turn;
              server and client are threads of this process, so that CPU time counts both

The image is a random one of BUSI's size. ONNX Runtime is left out where it is not installed, and
the model is exported first where it was not.
"""

import argparse
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from inference import png
from measuring import ROOT, Clock, head_line, in_turn, median

from hgmnet.data.images import decode_grey
from hgmnet.inference.onnx import lacking
from hgmnet.serving.api import build_app
from hgmnet.serving.model_slot import ModelSlot, load_folder


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "hgmnet")
    parser.add_argument("--seconds", type=float, default=30, help="of the endpoint")
    parser.add_argument("--turns", type=int, default=5, help="starts of each backend")
    words = parser.parse_args()
    data = png(np.random.default_rng(0))
    print(head_line())
    print("\n| | median, s | CPU, s |\n|---|---|---|")
    for name, clock in starts(words.model, data, words.turns).items():
        print(f"| start, {name} | {median(clock.wall):.2f} | {median(clock.cpu):.2f} |", flush=True)
    print("\n| | median, ms | CPU, ms |\n|---|---|---|")
    clocks = endpoint(words.model, data, words.seconds)
    for name, clock in clocks.items():
        print(f"| {name} | {median(clock.wall) * 1e3:.1f} | {median(clock.cpu) * 1e3:.1f} |")
    for kind in ("wall", "cpu"):
        ours, theirs = (getattr(clocks[name], kind) for name in ("Predictor", "endpoint"))
        more = [(b - a) * 1e3 for a, b in zip(ours, theirs, strict=True)]
        low, middle, high = np.quantile(more, (0.25, 0.5, 0.75))
        print(f"\nThe endpoint adds {middle:.1f} ms ({low:.1f} to {high:.1f}) by {kind}.")


def starts(model: Path, data: bytes, turns: int) -> dict[str, Clock]:
    """`hgmnet predict` from its start to its end, in turn; each backend has run once before."""
    backends = ["torch", *([] if lacking(["onnxruntime", "onnx", "onnxscript"]) else ["onnx"])]
    clocks = {name: Clock() for name in backends}
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.png"
        scan.write_bytes(data)
        words = ["predict", str(scan), "--out", folder, "--model", str(model.resolve())]
        for turn in range(turns + 1):
            for name, clock in clocks.items():
                command = [sys.executable, "-m", "pipelines", *words, "--backend", name]
                start = time.perf_counter(), _children()
                subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
                if turn:
                    clock.wall.append(time.perf_counter() - start[0])
                    clock.cpu.append(_children() - start[1])
    return clocks


def endpoint(model: Path, data: bytes, seconds: float) -> dict[str, Clock]:
    """The Predictor on an image's bytes, and the same over HTTP."""
    served = load_folder(model)
    with serving(ModelSlot(served)) as address, httpx.Client(timeout=60) as client:

        def ask() -> None:
            client.post(f"{address}/predict", content=data).raise_for_status()

        def find() -> None:
            served.predictor.predict([decode_grey(data, "scan")])

        return in_turn({"Predictor": find, "endpoint": ask}, seconds)


@contextmanager
def serving(holder: ModelSlot) -> Iterator[str]:
    """The address at which a thread of this process answers."""
    taken = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(holder), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{taken.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def _children() -> float:
    """CPU seconds of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
