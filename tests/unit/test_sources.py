import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from hgmnet.data import sources
from hgmnet.errors import InvalidDataError


def encoded(value=0, kind="PNG"):
    data = io.BytesIO()
    Image.fromarray(np.full((4, 6), value, np.uint8)).save(data, kind)
    return data.getvalue()


FILES = {
    "set/Benign/a (1).png": encoded(1),
    "set/Benign/a (1)_mask.png": encoded(255),
    "set/Benign/a (1)_mask_1.png": encoded(255),
    "set/normal/n.bmp": encoded(2, "BMP"),
    "set/normal/n_mask.png": encoded(0),
    "set/Thumbs.db": b"x",
    "__MACOSX/set/Benign/._a (1).png": b"x",
}


def folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(params=[folder, zipped])
def pack(request):
    return request.param


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "data" / "mine" / "raw"


def test_a_source_is_laid_out(pack, raw, tmp_path):
    came = sources.lay_out(pack(tmp_path / "source.zip", FILES), raw)
    assert came.per_class == {"benign": 1, "normal": 1}
    assert came.masks == 3
    assert came.left_out == ("__MACOSX/set/Benign/._a (1).png", "set/Thumbs.db")
    there = {p.relative_to(raw).as_posix() for p in raw.rglob("*") if p.is_file()}
    assert there == {
        "benign/a (1).png", "benign/a (1)_mask.png", "benign/a (1)_mask_1.png",
        "normal/n.png", "normal/n_mask.png",
    }  # fmt: skip
    assert (raw / "benign/a (1).png").read_bytes() == FILES["set/Benign/a (1).png"]
    assert (np.asarray(Image.open(raw / "normal/n.png")) == 2).all()
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


def test_what_was_there_is_replaced(raw, tmp_path):
    folder(raw, {"cyst/old.png": encoded()})
    sources.lay_out(folder(tmp_path / "source", FILES), raw)
    assert sorted(path.name for path in raw.iterdir()) == ["benign", "normal"]
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, "holds no image; expected <class>"),
        ({"readme.txt": b"x"}, "holds no image"),
        ({"a.png": encoded()}, "images outside any folder"),
        ({"fibro adenoma/a.png": encoded()}, "class folder 'fibro adenoma': expected letters"),
        ({"x/images/a.png": encoded(), "x/masks/a.png": encoded()}, "in images and masks"),
        ({"1/benign/a.png": encoded(), "2/benign/a.png": encoded()}, "would both be benign/a.png"),
        ({"benign/a.png": encoded(), "benign/a.bmp": encoded(0, "BMP")}, "would both be"),
        ({"benign/a.png": encoded(), "benign/b.jpg": b"x"}, r"benign/b\.jpg can't be decoded"),
    ],
)
def test_what_is_no_data_set_is_refused_and_leaves_nothing(pack, raw, tmp_path, files, error):
    (tmp_path / "source").mkdir()
    source = pack(tmp_path / "source" / "it", files)
    if not source.exists():
        source.mkdir()
    with pytest.raises(InvalidDataError, match=error):
        sources.lay_out(source, raw)
    assert not raw.parent.exists()


def test_a_refusal_leaves_what_was_there(raw, tmp_path):
    folder(raw, {"cyst/old.png": encoded()})
    broken = folder(tmp_path / "s", {"benign/a.png": encoded(), "benign/b.jpg": b"x"})
    with pytest.raises(InvalidDataError):
        sources.lay_out(broken, raw)
    assert (raw / "cyst/old.png").is_file()
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    "name",
    [
        "../",
        "../benign/a.png",
        "benign/../../a.png",
        "/benign/a.png",
        "..\\benign\\a.png",
        "C:/b/a.png",
    ],
)
def test_a_path_that_leads_out_is_refused(raw, tmp_path, name):
    source = zipped(tmp_path / "s.zip", {"benign/ok.png": encoded(), name: encoded()})
    with pytest.raises(InvalidDataError, match="leads out of the archive's folder"):
        sources.lay_out(source, raw)
    assert not raw.parent.exists()


def test_a_link_is_refused(raw, tmp_path):
    link = zipfile.ZipInfo("benign/a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InvalidDataError, match=r"'benign/a\.png' is a link"):
        sources.lay_out(tmp_path / "s.zip", raw)


def test_a_bomb_is_refused(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_FREE_BYTES", 2**20)
    source = zipped(tmp_path / "s.zip", {"benign/a.png": bytes(2**24)})
    with pytest.raises(InvalidDataError, match="that is no set of images"):
        sources.lay_out(source, raw)


def test_too_many_entries_are_refused(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_ENTRIES", 3)
    with pytest.raises(InvalidDataError, match="has 7 entries, at most 3"):
        sources.lay_out(zipped(tmp_path / "s.zip", FILES), raw)


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_a_truncated_zip_is_refused(raw, tmp_path, keep):
    whole = zipped(tmp_path / "s.zip", FILES).read_bytes()
    (tmp_path / "s.zip").write_bytes(whole[:keep])
    with pytest.raises(InvalidDataError, match=r"s\.zip is no whole zip archive"):
        sources.lay_out(tmp_path / "s.zip", raw)


def test_a_damaged_zip_is_refused_or_read_whole(raw, tmp_path):
    """Whatever byte is broken: nothing else than InvalidDataError comes out."""
    whole = zipped(tmp_path / "s.zip", FILES).read_bytes()
    refused = 0
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        (tmp_path / "s.zip").write_bytes(damaged)
        try:
            sources.lay_out(tmp_path / "s.zip", raw)
        except InvalidDataError:
            refused += 1
    assert refused > len(whole) / 7 / 4


def test_a_source_that_is_not_there(raw, tmp_path):
    with pytest.raises(InvalidDataError, match=r"gone is not there; expected a folder"):
        sources.lay_out(tmp_path / "gone", raw)


def test_a_broken_link_in_a_folder_is_named(raw, tmp_path):
    source = folder(tmp_path / "s", {"benign/a.png": encoded()})
    (source / "benign/b.png").symlink_to("nowhere")
    with pytest.raises(InvalidDataError, match=r"benign/b\.png can't be read"):
        sources.lay_out(source, raw)
