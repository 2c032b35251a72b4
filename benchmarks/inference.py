"""How fast a finding is: `python benchmarks/inference.py [--profile busi-cpu] [--seconds 60]`.

The same untrained network on the same random grey images of BUSI's size, in turn in one process:

    ours     the Predictor: from grey images of any size to findings at native size
    plain    as a user would write it: resize, forward in float32, resize back, image by image
    ceiling  the forward pass alone, of a batch that lies on the device

With the mirrored image (`calibrate.mirror`) ours and the ceiling pass the network twice.
"""

import argparse
import copy
from collections.abc import Callable

import numpy as np
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
    untrained_spec,
)
from PIL import Image

from hgmnet.config import Params, load_params
from hgmnet.data.resample import Grey
from hgmnet.inference import Predictor
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import Operating
from hgmnet.training import MEAN, STD

HEIGHT, WIDTH = 470, 560


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="busi" if DEVICE.type == "cuda" else "busi-cpu")
    parser.add_argument("--side", type=int, help="px; else the profile's")
    parser.add_argument("--batch", type=int, default=16, help="images of the batch")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--no-mirror", action="store_true", help="the network passes once")
    words = parser.parse_args()
    params = load_params(ROOT / "profiles" / f"{words.profile}.yaml")
    side = words.side or params.prepare.side
    params = params.model_copy(
        update={
            "model": params.model.model_copy(update={"encoder_weights": "none"}),
            "prepare": params.prepare.model_copy(update={"side": side}),
        }
    )
    ours = predictor(params, mirror=not words.no_mirror)
    generator = np.random.default_rng(0)
    print(head_line())
    print(
        f"{params.model.encoder}, {side} px, {HEIGHT} × {WIDTH} images, "
        f"mirror {ours.operating.mirror}."
    )
    print(
        "\n| images | | median, ms | p95, ms | images/s | ours / this |\n|---|---|---|---|---|---|"
    )
    for count in (1, words.batch):
        images = [generator.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8) for _ in range(count)]
        rows(in_turn(works(ours, images), words.seconds / 2), count)
    print(f"\nPeak memory of the process: {peak_memory() / 2**30:.2f} GiB.")


def predictor(params: Params, *, mirror: bool) -> Predictor:
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
    return Predictor(network, spec, operating, "untrained")


def works(ours: Predictor, images: list[Grey]) -> dict[str, Callable[[], object]]:
    """The three, on these images."""
    side = ours.spec.prepare.side
    written = copy.deepcopy(ours.network).to(memory_format=torch.contiguous_format)
    batch = torch.randn(len(images), 1, side, side, device=DEVICE)
    passes = 2 if ours.operating.mirror else 1

    @torch.inference_mode()
    def ceiling() -> None:
        for _ in range(passes):
            ours.network(batch)

    @torch.inference_mode()
    def plain() -> None:
        for image in images:
            small = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
            square = (torch.from_numpy(np.array(small)).float() / 255 - MEAN) / STD
            square = square[None, None].to(DEVICE)
            outs = [written(square)]
            if passes == 2:
                outs.append(written(square.flip(-1)))
            probs = [out.mask_logits.sigmoid() for out in outs]
            mask = probs[0] if passes == 1 else (probs[0] + probs[1].flip(-1)) / 2
            full = torch.nn.functional.interpolate(mask, image.shape, mode="bilinear")
            (full > 0.5).cpu().numpy()
            sum(out.class_logits.softmax(-1) for out in outs).cpu().numpy()

    return {"ours": lambda: ours.predict(images, len(images)), "plain": plain, "ceiling": ceiling}


def rows(clocks: dict[str, Clock], count: int) -> None:
    """A row a contestant."""
    for name, clock in clocks.items():
        second, late = median(clock.wall), float(np.quantile(clock.wall, 0.95))
        print(
            f"| {count} | {name} | {second * 1e3:.1f} | {late * 1e3:.1f} | {count / second:.1f} | "
            f"{ratio(clocks['ours'].wall, clock.wall)} |"
        )


if __name__ == "__main__":
    main()
