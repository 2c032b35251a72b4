"""Damaged image files of every format are decoded or refused in a line, within bounded memory."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hgmnet.data.reader import open_image
from hgmnet.errors import HgmnetError
from tests.memory import peak
from tests.unit.test_dicom_kinds import GREY, KINDS, RGB, WIDE

MIB = 2**20
LARGEST = 4 * GREY.size
"""Pixels that a damaged header may ask for."""


def written(kind: str, *arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    first, *others = map(Image.fromarray, arrays)
    several = {"save_all": True, "append_images": others} if others else {}
    first.save(out, kind, **several)
    return out.getvalue()


RASTER = {
    **{kind: written(kind, RGB) for kind in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")},
    "PNG, 16 bits": written("PNG", WIDE),
    "PNG, animated": written("PNG", GREY, 255 - GREY),
    "TIFF, 16 bits": written("TIFF", WIDE),
    "TIFF, pages": written("TIFF", GREY, 255 - GREY, GREY),
    "GIF, animated": written("GIF", GREY, 255 - GREY),
    "WEBP, animated": written("WEBP", RGB, 255 - RGB),
}
DICOM = {
    name: make()[0]
    for name, make in KINDS.items()
    if not name.startswith("JPEG-LS")
    and name not in {"JPEG Lossless, 12 bits", "JPEG Lossless, RGB"}
}
"""All kinds but those that a process of its own decodes, which takes a second."""
IN_A_PROCESS = {name: KINDS[name]()[0] for name in ("JPEG Lossless, RGB", "JPEG-LS")}

CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12)


def damaged(data: bytes, changes: list[tuple[float, int]], head: bool, kept: float) -> bytes:
    """Change bytes, of the first 1,500 if `head`, and keep this share of the file."""
    out = bytearray(data)
    reach = min(len(out), 1500) if head else len(out)
    for place, value in changes:
        out[int(place * (reach - 1))] = value
    return bytes(out[: int(kept * len(out))])


def refusal(data: bytes, name: str) -> str:
    """Decode up to three frames; why one was refused, or the name alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PIL, about damage
            file = open_image(data, name, LARGEST)
            for frame in range(min(len(file), 3)):
                file.decode(frame)
    except HgmnetError as error:
        return str(error)
    return name


def check(files: dict[str, bytes], count: int) -> None:
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(sorted(files)), CHANGES, st.booleans(), st.sampled_from([1.0, 1.0, 0.4]))
    def law(name: str, changes: list[tuple[float, int]], head: bool, kept: float) -> None:
        data = damaged(files[name], changes, head, kept)
        lines = []
        taken = peak(lambda: lines.append(refusal(data, name)))
        assert taken < 10 * 3 * LARGEST + 4 * MIB  # tables of 2^16 greys
        assert name in lines[0]
        assert "\n" not in lines[0]
        assert len(lines[0]) < 400

    law()


@pytest.mark.parametrize("name", RASTER)
def test_a_damaged_raster_file(name: str) -> None:
    check({name: RASTER[name]}, 100)


def test_damaged_dicom() -> None:
    check(DICOM, 1000)


def test_damaged_dicom_that_a_process_of_its_own_decodes() -> None:
    check(IN_A_PROCESS, 8)
