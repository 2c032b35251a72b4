import io

import numpy as np
import pytest
from PIL import Image

from hgmnet.data import images
from hgmnet.errors import InvalidDataError


def encode(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def picture(mode="RGB", size=(7, 5)):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_png_mode_gives_the_luma(mode):
    image = picture(mode)
    grey = images.decode_grey(encode(image), "x")
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, np.asarray(image.convert("RGB").convert("L")))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "BMP"])
def test_other_formats(kind):
    data = encode(picture("L", (32, 16)), kind)
    assert images.decode_grey(data, "x").shape == (16, 32)


def test_cmyk():
    data = encode(Image.new("CMYK", (4, 3), (0, 0, 0, 0)), "TIFF")
    assert (images.decode_grey(data, "x") == 255).all()


def test_sixteen_bits_are_scaled():
    wide = np.array([[0, 257, 65535]], dtype=np.uint16)
    decoded = images.decode(encode(Image.fromarray(wide)), "x")
    np.testing.assert_array_equal(decoded.rgb[0, :, 1], [0, 1, 255])
    assert decoded.mode == "I;16"


def test_a_wide_mask_is_scaled_too():
    wide = Image.fromarray(np.array([[0, 255, 65535]], dtype=np.uint16))
    np.testing.assert_array_equal(images.decode_mask(encode(wide), "x"), [[0, 0, 255]])


def test_transparent_pixels_lie_on_black():
    data = encode(Image.new("RGBA", (2, 2), (255, 255, 255, 0)))
    assert not images.decode_grey(data, "x").any()


def test_alpha_of_a_mask_says_nothing():
    data = encode(Image.new("RGBA", (2, 2), (255, 255, 255, 0)))
    assert (images.decode_mask(data, "x") == 255).all()


def test_floats_are_refused():
    data = encode(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")
    with pytest.raises(InvalidDataError, match=r"scan\.tif has floating-point greys"):
        images.decode_grey(data, "scan.tif")


@pytest.mark.parametrize("data", [b"", b"hello", encode(picture())[:60], encode(picture())[:-20]])
def test_what_does_not_decode_is_named(data):
    with pytest.raises(InvalidDataError, match=r"benign/a\.png can't be decoded") as caught:
        images.decode_grey(data, "benign/a.png")
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("side", [9000, 12000, 15000])
def test_bombs_are_refused_by_their_header(side):
    data = bytearray(encode(Image.new("1", (1, 1))))
    data[16:24] = side.to_bytes(4, "big") * 2
    chunk = bytes(data[12:29])
    import zlib

    data[29:33] = zlib.crc32(chunk).to_bytes(4, "big")
    with pytest.raises(InvalidDataError, match=r"big\.png: .* pixels"):
        images.decode_grey(bytes(data), "big.png")


def test_the_hash_is_of_pixels_not_of_files():
    image = picture()
    hashes = {
        images.pixel_sha256(images.decode(encode(image, kind, **options), "x").rgb)
        for kind, options in [("PNG", {}), ("PNG", {"compress_level": 0}), ("BMP", {})]
    }
    assert len(hashes) == 1


def test_the_hash_sees_the_shape():
    pixels = np.zeros((2, 6, 3), np.uint8)
    assert images.pixel_sha256(pixels) != images.pixel_sha256(pixels.reshape(6, 2, 3))


def test_png_stays_as_it_is():
    data = encode(picture(), compress_level=1)
    assert images.RasterFile(data, "x").png(0) is data


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "BMP"), ("L", "JPEG"), ("CMYK", "TIFF")])
def test_re_encoding_keeps_the_pixels(mode, kind):
    data = encode(picture(mode), kind)
    png = images.RasterFile(data, "x").png(0)
    assert png.startswith(b"\x89PNG")
    np.testing.assert_array_equal(images.decode(png, "x").rgb, images.decode(data, "x").rgb)
