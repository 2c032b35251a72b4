"""A load on `hgmnet serve`: `python benchmarks/serving.py [--model FOLDER] [--images FOLDER]`.

Eight clients send 200 requests a round to a server of its own; each answer is compared with what
the Predictor says. Printed a round: lost and wrong answers, seconds, latency, and the server's
memory, which must not grow. Without --images, phantoms.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
from measuring import ROOT, head_line

from hgmnet.data.image_files import mask_of
from hgmnet.data.images import decode_grey
from hgmnet.inference.predictor import TorchPredictor

CLIENTS, REQUESTS, IMAGES = 8, 200, 40


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "hgmnet")
    parser.add_argument("--images", type=Path, default=ROOT / "data" / "phantom" / "raw")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    files = [p for p in sorted(args.images.rglob("*.png")) if mask_of(p.stem) is None]
    images = [p.read_bytes() for p in files[:: max(1, len(files) // IMAGES)][:IMAGES]]
    greys = [decode_grey(image, "image") for image in images]
    expected = [finding.probs for finding in TorchPredictor.load(args.model).predict(greys)]
    print(f"{head_line()}\n{len(images)} images, {CLIENTS} clients, {REQUESTS} requests a round.\n")
    command = [sys.executable, "-m", "pipelines", "serve", "--model", args.model.resolve()]
    with subprocess.Popen(
        [*map(str, command), "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            found = re.search(r"http://\S+?:\d+", server.stdout.readline() if server.stdout else "")
            if found is None:
                sys.exit("the server did not start")
            print("| round | lost | wrong | s | median, ms | p95, ms | memory, MiB |")
            print("|---|---|---|---|---|---|---|")
            memory = psutil.Process(server.pid).memory_info
            print(f"| before | | | | | | {memory().rss / 2**20:.0f} |", flush=True)
            for number in range(1, args.rounds + 1):
                told = load(found[0], images, expected)
                print(f"| {number} | {told} | {memory().rss / 2**20:.0f} |", flush=True)
        finally:
            server.terminate()


def load(address: str, images: Sequence[bytes], expected: Sequence[dict[str, float]]) -> str:
    """One round, as cells of a table."""
    seconds: list[float] = []

    def ask(number: int) -> str:
        start = time.perf_counter()
        try:
            row = client.post("/predict", content=images[number % len(images)]).json()
        except httpx.HTTPError:
            return "lost"
        seconds.append(time.perf_counter() - start)
        right = expected[number % len(images)]
        gap = max(abs(row[f"prob_{name}"] - prob) for name, prob in right.items())
        return "wrong" if row["error"] or gap > 1e-4 else "right"

    began = time.perf_counter()
    with (
        httpx.Client(base_url=address, timeout=600) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        said = list(pool.map(ask, range(REQUESTS)))
    ms = 1000 * np.array(seconds)
    return (
        f"{said.count('lost')} | {said.count('wrong')} | {time.perf_counter() - began:.1f} | "
        f"{np.median(ms):.0f} | {np.quantile(ms, 0.95):.0f}"
    )


if __name__ == "__main__":
    main()
