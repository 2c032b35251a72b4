"""Find lesions with an exported HGM-Net: needs onnxruntime, numpy and pillow, nothing else.

    python read_onnx.py model.onnx scan.png [more.png ...]

prints one line of JSON per image and writes <name>_mask.png to the working directory. It shows all
steps of a prediction; copy from it what you need. For research; not a medical device.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image


def find(session: Any, grey: Any) -> tuple[dict[str, Any], Any]:
    """Return the prediction for a grey image (H, W) uint8, and the lesion's mask, (H, W) bool."""
    known = session.get_modelmeta().custom_metadata_map
    spec, point = json.loads(known["spec"]), json.loads(known["operating"])
    square, inside = fit(grey, spec["prepare"])
    outputs = ["mask_prob", "class_logits"]
    mask_prob, logits = session.run(outputs, {"square": square[None]})
    probs = softmax(logits[0] / point["temperature"])
    height, width = grey.shape
    small = Image.fromarray(np.ascontiguousarray(mask_prob[0][inside]))
    prob = small.resize((width, height), Image.Resampling.BILINEAR)
    mask = np.asarray(prob) >= point["mask_threshold"]
    decision = decide(probs, spec["classes"], point["malignant_threshold"])
    if mask.mean() < point["min_area"] or (decision == "normal" and point["normal_means_no_mask"]):
        mask = np.zeros_like(mask)
    empty = point["no_mask_means_normal"] and "normal" in spec["classes"] and not mask.any()
    if empty and decision not in ("malignant", "unclassified"):
        decision = "normal"
    said = dict(zip(spec["classes"], map(float, probs), strict=True))
    return {"decision": decision, "probs": said, "lesion_area_px": int(mask.sum())}, mask


def fit(grey: Any, prepare: Any) -> tuple[Any, Any]:
    """Return the network's input, (S, S) uint8, and the slices of it that the image covers."""
    side = prepare["side"]
    rows = columns = side
    if prepare["fit"] != "stretch":  # a letterbox: the image's longer edge becomes S
        scale = side / max(grey.shape)
        rows, columns = (max(1, round(length * scale)) for length in grey.shape)
    top, left = (side - rows) // 2, (side - columns) // 2
    inside = (slice(top, top + rows), slice(left, left + columns))
    square = np.zeros((side, side), np.uint8)
    small = Image.fromarray(grey).resize((columns, rows), Image.Resampling.BILINEAR)
    square[inside] = np.asarray(small)
    return square, inside


def softmax(logits: Any) -> Any:
    """Compute probabilities (C,) from logits (C,)."""
    exponent = np.exp(logits.astype(np.float64) - logits.max())
    return exponent / exponent.sum()


def decide(probs: Any, classes: list[str], threshold: float | None) -> str:
    """Return malignant from the threshold on, else the most probable other class."""
    if threshold is None:
        return "unclassified"  # a model for segmentation alone
    malignant = classes.index("malignant")
    if probs[malignant] >= threshold:
        return "malignant"
    others = [i for i in range(len(classes)) if i != malignant]
    return classes[max(others, key=lambda i: float(probs[i]))]


def main(model: str, *images: str) -> None:
    """Print the prediction for each image, and write its mask."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for image in images:
        with Image.open(image) as opened:  # colour becomes grey; no transparency, no 16 bits
            grey = np.asarray(opened.convert("RGB").convert("L"))
        said, mask = find(session, grey)
        Image.fromarray(mask).convert("L").save(f"{Path(image).stem}_mask.png")
        print(json.dumps({"image": image, **said}))


if __name__ == "__main__":
    main(*sys.argv[1:])
