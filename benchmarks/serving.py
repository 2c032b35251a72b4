"""`hgmnet serve` under load: `python benchmarks/serving.py speed [--model FOLDER]`, or `changes`.

`speed`: requests per second and 99th percentile of `hgmnet serve` and of MLflow's own server with
the same model, in turns, from one client and from eight. `changes`: 2,000 requests from 8 clients
to a registry's champion, which changes twice meanwhile; lost and wrong answers, and the server's
memory. Needs the tests' packages.
"""

import argparse
import base64
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
from measuring import ROOT, head_line

from hgmnet.data.image_files import mask_of
from hgmnet.data.images import decode_grey
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.serving.demo.samples import samples

CLIENTS, REQUESTS, CHANGES = 8, 2000, (600, 1300)
SERVE = [sys.executable, "-m", "pipelines", "serve", "--port", "0"]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["speed", "changes"])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "hgmnet")
    parser.add_argument("--images", type=Path, help="a folder of PNG files; else synthetic samples")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=60, help="per round")
    args = parser.parse_args()
    print(f"{head_line()}\n")
    speed(args) if args.what == "speed" else changes()


def speed(args: argparse.Namespace) -> None:
    """Print a table of both servers."""
    images = [sample.png for sample in samples().values()]
    if args.images:
        images = [p.read_bytes() for p in args.images.rglob("*.png") if mask_of(p.stem) is None]
    rows = [{"instances": [{"image": base64.b64encode(i).decode()}]} for i in images]
    command = [*SERVE, "--model", str(args.model.resolve())]
    with (
        serving(command, ROOT) as (ours, _),
        mlflow_serving(args.model) as theirs,
        httpx.Client(timeout=600) as client,
    ):

        def plain(i: int) -> int:
            return client.post(f"{ours}/predict", content=images[i % len(images)]).status_code

        def batch(address: str) -> Callable[[int], int]:
            url = f"{address}/invocations"
            return lambda i: client.post(url, json=rows[i % len(rows)]).status_code

        ways = {
            "`hgmnet serve`, bytes": plain,
            "`hgmnet serve`, JSON": batch(ours),
            "`mlflow models serve`, JSON": batch(theirs),
        }
        print("| server | clients | requests | per second | median, ms | p99, ms |")
        print("|---|---:|---:|---:|---:|---:|")
        for clients in (1, CLIENTS):
            in_turns(ways, clients, args.rounds, args.requests)


def in_turns(
    ways: dict[str, Callable[[int], int]], clients: int, rounds: int, requests: int
) -> None:
    """Print a row per way, measured in turns."""
    took: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    wall = dict.fromkeys(ways, 0.0)
    for way in ways.values():
        load(way, clients, 8)
    for name, way in [*ways.items()] * rounds:
        start = time.perf_counter()
        took[name].append(load(way, clients, requests))
        wall[name] += time.perf_counter() - start
    for name, parts in took.items():
        ms = 1000 * np.concatenate(parts)
        figures = f"{len(ms) / wall[name]:.1f} | {np.median(ms):.0f} | {np.quantile(ms, 0.99):.0f}"
        print(f"| {name} | {clients} | {len(ms)} | {figures} |", flush=True)


def load(ask: Callable[[int], int], clients: int, requests: int) -> np.ndarray:
    """Seconds of each request; exits if one is not answered."""

    def timed(number: int) -> float:
        start = time.perf_counter()
        if (status := ask(number)) != 200:
            sys.exit(f"a request was answered with {status}")
        return time.perf_counter() - start

    with ThreadPoolExecutor(clients) as pool:
        return np.array(list(pool.map(timed, range(requests))))


def changes() -> None:
    """Print one row per 500 requests, and what was lost or wrong."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HGMNET_TEST_RUN", folder)
        sys.path.insert(0, str(ROOT))
        from pipelines.promotion.promote import Request, open_comparer, promote, rollback
        from tests.three_versions import give_three_versions

        workspace = give_three_versions(Path(folder) / "repository")
        comparer = open_comparer(workspace.root, None)
        images = [path.read_bytes() for path in sorted(workspace.raw.rglob("*.png"))]
        greys = [decode_grey(image, "image") for image in images]
        expected = {
            number: TorchPredictor.load(comparer.load(number)).predict(greys)
            for number in ("1", "2")
        }
        decisions = (
            lambda: promote(comparer, Request("2", approved=True, reason="measured")),
            lambda: rollback(comparer, None, "measured"),
        )
        with serving([*SERVE, "--poll-seconds", "0.5"], workspace.root) as (address, server):
            count_answers(address, images, expected, decisions, server)


def count_answers(
    address: str,
    images: Sequence[bytes],
    expected: dict[str, list],
    decisions: Sequence[Callable[[], object]],
    server: psutil.Process,
) -> None:
    """Send requests until there are `REQUESTS`, and each decision has reached the server."""
    said: list[str] = []
    lock, memory = threading.Lock(), [server.memory_info().rss / 2**20]
    client = httpx.Client(base_url=address, timeout=600)

    def ask() -> None:
        while len(said) < REQUESTS or said[-1] != "1" or "2" not in said:
            number = len(said)
            try:
                done = client.post("/predict", content=images[number % len(images)])
                row = done.raise_for_status().json()
                right = expected[row["version"]][number % len(images)]
                mine = max(abs(row[f"prob_{k}"] - p) for k, p in right.probs.items()) < 1e-5
                answer = row["version"] if mine and row["decision"] == right.decision else "wrong"
            except httpx.HTTPError:
                answer = "lost"
            with lock:
                said.append(answer)
                if len(said) % 500 == 0:
                    memory.append(server.memory_info().rss / 2**20)

    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        waiting = [pool.submit(ask) for _ in range(CLIENTS)]
        for after, decide in zip(CHANGES, decisions, strict=True):
            while len(said) < after:
                time.sleep(0.01)
            decide()
        for one in waiting:
            one.result()
    client.close()
    versions = [a for a, b in zip(said, [*said[1:], ""], strict=True) if a != b]
    print(f"{len(said)} requests in {time.perf_counter() - start:.0f} s, {CLIENTS} clients")
    print(f"lost {said.count('lost')}, wrong {said.count('wrong')}; versions {versions}")
    print("MiB before, and after each 500 requests:", *(f"{one:.0f}" for one in memory))


@contextmanager
def serving(command: Sequence[str], folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server of `hgmnet serve`: its address and process."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        try:
            found = re.search(r"http://\S+?:\d+", server.stdout.readline() if server.stdout else "")
            if found is None:
                sys.exit("the server did not start")
            yield found[0], psutil.Process(server.pid)
        finally:
            server.terminate()


@contextmanager
def mlflow_serving(model: Path) -> Iterator[str]:
    """MLflow's server with the model; its address."""
    import mlflow

    from pipelines.registry import pyfunc_model

    classes = TorchPredictor.load(model).spec.classes
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                f"{folder}/model",
                python_model=pyfunc_model.__file__,
                artifacts={pyfunc_model.MODEL: str(model)},
                signature=pyfunc_model.signature(classes),
                pip_requirements=["mlflow"],
            )
        words = f"-m mlflow models serve -m {folder}/model --env-manager local -p {port}".split()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen([sys.executable, *words], **quiet, start_new_session=True) as server:
            try:
                while server.poll() is None:
                    time.sleep(0.2)
                    try:
                        httpx.get(f"http://127.0.0.1:{port}/ping").raise_for_status()
                        break
                    except httpx.HTTPError:
                        continue
                yield f"http://127.0.0.1:{port}"
            finally:
                os.killpg(server.pid, 15)


if __name__ == "__main__":
    main()
