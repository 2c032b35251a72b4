"""Rows of a manifest for the tests, good unless something is said of them."""

from hgmnet.data.image_record import ImageRecord


def record(image: str, **changes) -> ImageRecord:
    """An image `<class>/<name>.png` with a mask, its pixels told by its path, in no group."""
    label = image.split("/", maxsplit=1)[0]
    lesion = label != "normal"
    facts = {
        "image": image,
        "label": label,
        "masks": (image.replace(".png", "_mask.png"),),
        "width": 100,
        "height": 80,
        "mode": "RGB",
        "pixel_sha256": image,
        "mask_pixels": 500 * lesion,
        "masks_match": True,
        "mask_values": "",
        "intensity_mean": 90.0,
        "intensity_std": 40.0,
        "intensity_max": 255,
        "bit_depth": 8,
        "dark_share": 0.1,
        "saturated_share": 0.0,
        "colour_share": 0.0,
        "marks": 0,
        "mask_parts": int(lesion),
        "mask_smallest": 500 * lesion,
        "mask_border": 0.0,
        "source_name": "",
        "patient": "",
        "pixel_mm": 0.0,
        "group": image,
        "excluded": "",
        "error": "",
    }
    return ImageRecord(**{**facts, **changes})
