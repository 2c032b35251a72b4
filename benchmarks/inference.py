"""How fast a finding is: `python benchmarks/inference.py [--profile busi-cpu] [--seconds 60]`.

The same untrained network on the same random grey images of BUSI's size, in turn in one process,
from the bytes of a PNG to findings or a mask at native size, for one image and for a batch:

    plain     as a user would write it: two smp U-Nets of that size, eager, image by image
    torch     the Predictor
    compiled  the Predictor with its network under torch.compile (--compile)
    fp32      `hgmnet export`, by ONNX Runtime
    int8      `hgmnet export --int8`, by ONNX Runtime; ranges found on random images
    forward   the network's forward pass alone, of a batch that lies on the device

With the mirrored image (`calibrate.mirror`) each passes its network twice an image.
"""

import argparse
import copy
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from measuring import (
    DEVICE,
    ROOT,
    Clock,
    head_line,
    in_turn,
    median,
    peak_memory,
    ratio,
)
from PIL import Image

from hgmnet.config.params import Params, load_params
from hgmnet.data.images import decode_grey
from hgmnet.inference.onnx import OnnxPredictor
from hgmnet.inference.onnx_export import export_onnx, quantise
from hgmnet.inference.predictor import Predictor, TorchPredictor
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import Operating
from pipelines.studies.cost_estimate import untrained_spec

MEAN, STD = 0.449, 0.226  # greys of ImageNet

HEIGHT, WIDTH = 470, 560
Work = Callable[[], object]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="busi" if DEVICE.type == "cuda" else "busi-cpu")
    parser.add_argument("--encoder", help="else the profile's")
    parser.add_argument("--side", type=int, help="px; else the profile's")
    parser.add_argument("--batch", type=int, default=16, help="images of the batch")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--no-mirror", action="store_true", help="the network passes once")
    parser.add_argument("--compile", action="store_true", help="torch.compile too: minutes more")
    words = parser.parse_args()
    params = settings(words)
    ours = predictor(params, mirror=not words.no_mirror)
    print(head_line())
    print(
        f"{params.model.encoder}, {params.prepare.side} px, {HEIGHT} × {WIDTH} images, "
        f"mirror {ours.operating.mirror}."
    )
    finders: dict[str, Predictor] = {"torch": ours}
    if words.compile:
        finders["compiled"] = compiled(ours)
    with tempfile.TemporaryDirectory() as folder:
        finders |= exported(ours, Path(folder))
    print("\n| images | | median, ms | p95, ms | CPU, ms | images/s | plain / this | by CPU time |")
    print("|---|---|---|---|---|---|---|---|")
    generator = np.random.default_rng(0)
    for count in (1, words.batch):
        images = [png(generator) for _ in range(count)]
        rows(in_turn(works(ours, finders, images), words.seconds / 2), count)
    print(f"\nPeak memory of the process: {peak_memory() / 2**30:.2f} GiB.")


def settings(words: argparse.Namespace) -> Params:
    """The profile's, as the words change it."""
    params = load_params(ROOT / "profiles" / f"{words.profile}.yaml")
    encoder, side = words.encoder or params.model.encoder, words.side or params.prepare.side
    model = params.model.model_copy(update={"encoder": encoder, "encoder_weights": "none"})
    prepare = params.prepare.model_copy(update={"side": side})
    return params.model_copy(update={"model": model, "prepare": prepare})


def predictor(params: Params, *, mirror: bool) -> TorchPredictor:
    """An untrained one, on the device."""
    torch.manual_seed(0)
    spec = untrained_spec(params)
    operating = Operating(
        temperature=1.0,
        mask_threshold=0.5,
        min_area=0.001,
        malignant_threshold=0.5,
        normal_means_no_mask=True,
        mirror=mirror,
    )
    network = HGMNet(params.model, len(params.data.classes)).eval()
    network = network.to(DEVICE, memory_format=torch.channels_last)  # as `infer` has it
    return TorchPredictor(network, spec, operating, "untrained")


def compiled(ours: TorchPredictor) -> TorchPredictor:
    """The same, its forward pass compiled for batches of any size."""
    network = copy.deepcopy(ours.network)
    network.compile(dynamic=True)
    return TorchPredictor(network, ours.spec, ours.operating, "compiled")


def exported(ours: TorchPredictor, folder: Path) -> dict[str, Predictor]:
    """As ONNX Runtime runs it, in both precisions."""
    on_cpu = TorchPredictor(
        copy.deepcopy(ours.network).cpu(), ours.spec, ours.operating, "exported"
    )
    side = ours.spec.prepare.side
    squares = np.random.default_rng(0).integers(0, 256, (32, side, side), dtype=np.uint8)
    fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
    export_onnx(on_cpu, fp32)
    quantise(on_cpu, fp32, squares, int8)
    return {"fp32": OnnxPredictor.load(fp32), "int8": OnnxPredictor.load(int8)}


def png(generator: np.random.Generator) -> bytes:
    """A random image, encoded."""
    file = io.BytesIO()
    grey = generator.integers(0, 256, (HEIGHT // 8, WIDTH // 8), dtype=np.uint8)
    Image.fromarray(grey).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def works(
    ours: TorchPredictor, finders: dict[str, Predictor], images: list[bytes]
) -> dict[str, Work]:
    """The contestants, on these images."""
    side, passes = ours.spec.prepare.side, 2 if ours.operating.mirror else 1
    batch = torch.randn(passes * len(images), 1, side, side, device=DEVICE)

    @torch.inference_mode()
    def forward() -> None:
        ours.network(batch)

    def finding(finder: Predictor) -> Work:
        return lambda: finder.predict([decode_grey(data, "") for data in images], len(images))

    ways = {name: finding(finder) for name, finder in finders.items()}
    return {"plain": plain(ours, images), **ways, "forward": forward}


def plain(ours: TorchPredictor, images: list[bytes]) -> Work:
    """Two U-Nets in a row, the second sees the image and the first one's map."""
    torch.manual_seed(0)
    model, side = ours.spec.model, ours.spec.prepare.side
    kind = {"encoder_weights": None, "decoder_channels": model.decoder_channels}
    coarse = smp.Unet(model.encoder, in_channels=1, **kind).eval().to(DEVICE)
    fine = smp.Unet(model.encoder, in_channels=2, **kind).eval().to(DEVICE)

    def both(square: torch.Tensor) -> torch.Tensor:
        return fine(torch.cat([square, coarse(square).sigmoid()], dim=1)).sigmoid()

    @torch.inference_mode()
    def work() -> None:
        for data in images:
            grey = Image.open(io.BytesIO(data)).convert("L")
            small = np.array(grey.resize((side, side), Image.Resampling.BILINEAR))
            square = ((torch.from_numpy(small).float() / 255 - MEAN) / STD)[None, None].to(DEVICE)
            mask = both(square)
            if ours.operating.mirror:
                mask = (mask + both(square.flip(-1)).flip(-1)) / 2
            full = torch.nn.functional.interpolate(mask, grey.size[::-1], mode="bilinear")
            (full > 0.5).cpu().numpy()

    return work


def rows(clocks: dict[str, Clock], count: int) -> None:
    """A row a contestant."""
    first = clocks["plain"]
    for name, clock in clocks.items():
        second, late = median(clock.wall), float(np.quantile(clock.wall, 0.95))
        print(
            f"| {count} | {name} | {second * 1e3:.1f} | {late * 1e3:.1f} | "
            f"{median(clock.cpu) * 1e3:.1f} | {count / second:.1f} | "
            f"{ratio(clock.wall, first.wall)} | {ratio(clock.cpu, first.cpu)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
