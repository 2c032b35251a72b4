import io
import shutil

import numpy as np
import pytest
from PIL import Image

from hgmnet.data import metadata
from hgmnet.errors import InvalidDataError
from hgmnet.importing import importer
from tests.source_files import as_csv, bus_bra, encoded, folder, zipped

FILES = {
    "set/Benign/a (1).png": encoded(1),
    "set/Benign/a (1)_mask.png": encoded(255),
    "set/Benign/a (1)_mask_1.png": encoded(255),
    "set/normal/n.bmp": encoded(2, "BMP"),
    "set/normal/n_mask.png": encoded(0),
    "set/Thumbs.db": b"x",
    "__MACOSX/set/Benign/._a (1).png": b"x",
}


@pytest.fixture(params=[folder, zipped])
def pack(request):
    return request.param


def below(raw):
    return {p.relative_to(raw).as_posix() for p in raw.rglob("*") if p.is_file()}


def test_a_source_is_laid_out(pack, raw, tmp_path):
    came = importer.lay_out(pack(tmp_path / "source.zip", FILES), raw)
    assert came.format == "busi"
    assert came.per_class == {"benign": 1, "normal": 1}
    assert (came.masks, came.unmasked, came.patients, came.spaced) == (3, 0, 0, 0)
    assert came.left_out == (
        ("__MACOSX/set/Benign/._a (1).png", "hidden"),
        ("set/Thumbs.db", "no image"),
    )
    assert below(raw) == {
        "benign/a (1).png", "benign/a (1)_mask.png", "benign/a (1)_mask_1.png",
        "images.csv", "normal/n.png", "normal/n_mask.png",
    }  # fmt: skip
    assert (raw / "benign/a (1).png").read_bytes() == FILES["set/Benign/a (1).png"]
    assert (np.asarray(Image.open(raw / "normal/n.png")) == 2).all()
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


def test_the_source_is_not_touched(raw, tmp_path):
    source = folder(tmp_path / "source", FILES)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in source.rglob("*") if p.is_file()}
    importer.lay_out(source, raw)
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in source.rglob("*") if p.is_file()}
    assert after == before


def test_what_was_there_is_replaced(raw, tmp_path):
    folder(raw, {"cyst/old.png": encoded()})
    importer.lay_out(folder(tmp_path / "source", FILES), raw)
    assert sorted(path.name for path in raw.iterdir()) == ["benign", "images.csv", "normal"]
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"readme.txt": b"x"}, "contains no image that belongs to bus_data.csv"),
        ({"a.png": encoded()}, r"a\.png is in no class folder; expected <class>"),
        ({"images/a.png": encoded(), "mask/a.png": encoded()}, "in no class folder"),
        ({"fibro adenoma/a.png": encoded()}, "class 'fibro adenoma': expected letters"),
        ({"1/benign/a.png": encoded(), "2/benign/a.png": encoded()}, "would both be benign/a.png"),
        ({"benign/a.png": encoded(), "benign/a.bmp": encoded(0, "BMP")}, "would both be"),
        ({"benign/a.png": encoded(), "benign/A.png": encoded()}, "case is ignored"),
        ({"benign/é.png": encoded(), "benign/e\u0301.png": encoded()}, "would both be"),
        ({"benign/a.png": encoded(), "benign/b_mask.png": encoded()}, "b_mask.png is without an"),
        ({"benign/a.png": encoded(), "benign/b.jpg": b"x"}, r"benign/b\.jpg can't be decoded"),
        ({"benign/a.png": encoded()[:-20]}, r"benign/a\.png can't be decoded"),
        ({"benign/a\n.png": encoded()}, r"'benign/a\\n\.png': its name has characters"),
        ({"benign/a|b.png": encoded()}, r"its name can't contain \|"),
        ({f"benign/{'ä' * 110}.png": encoded()}, "is over 200 bytes long"),
    ],
)
def test_what_is_no_data_set_is_refused_and_leaves_nothing(pack, raw, tmp_path, files, error):
    with pytest.raises(InvalidDataError, match=error) as caught:
        importer.lay_out(pack(tmp_path / "source" / "it", files), raw)
    assert "\n" not in str(caught.value)
    assert not raw.parent.exists()


def test_a_refusal_leaves_what_was_there(raw, tmp_path):
    folder(raw, {"cyst/old.png": encoded()})
    broken = folder(tmp_path / "s", {"benign/a.png": encoded(), "benign/b.jpg": b"x"})
    with pytest.raises(InvalidDataError):
        importer.lay_out(broken, raw)
    assert (raw / "cyst/old.png").is_file()
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


def test_names_that_are_not_ascii_stay(pack, raw, tmp_path):
    source = pack(
        tmp_path / "s", {"benign/囊肿 (1).png": encoded(), "benign/e\u0301_é.png": encoded()}
    )
    importer.lay_out(source, raw)
    assert below(raw) == {"benign/囊肿 (1).png", "benign/é_é.png", "images.csv"}


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "1"), ("PNG", "I;16")],
)
def test_odd_colour_modes_come_through(raw, tmp_path, kind, mode):
    image = Image.fromarray(np.full((4, 6), 255, np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 6), 65535, np.uint16))
    data = io.BytesIO()
    (image if mode == "I;16" else image.convert("RGB").convert(mode)).save(data, kind)
    source = folder(tmp_path / "s", {f"benign/a.{kind.lower()}": data.getvalue()})
    importer.lay_out(source, raw)
    from hgmnet.data import manifest

    (record,) = manifest.build(raw)
    assert record.error == ""
    assert record.intensity_mean == 255


def test_a_decompression_bomb_is_refused(raw, tmp_path):
    bomb = bytearray(encoded())
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    with pytest.raises(InvalidDataError, match=r"benign/a\.png: .* pixels"):
        importer.lay_out(folder(tmp_path / "s", {"benign/a.png": bytes(bomb)}), raw)
    assert not raw.parent.exists()


def test_images_without_masks_are_counted(raw, tmp_path):
    files = {"benign/a.png": encoded(), "malignant/b.png": encoded(), "normal/c.png": encoded()}
    came = importer.lay_out(folder(tmp_path / "s", files), raw)
    assert (came.masks, came.unmasked) == (0, 2)


def test_what_the_source_knows_lies_beside_the_images(pack, raw, tmp_path):
    came = importer.lay_out(pack(tmp_path / "source", bus_bra()), raw)
    assert (came.format, came.per_class) == ("bus-bra", {"benign": 2, "malignant": 2})
    assert (came.masks, came.patients, came.spaced) == (4, 2, 0)
    assert came.left_out == (("BUSBRA/5-fold-cv.csv", "no image"),)
    assert below(raw) == {
        "images.csv",
        *(f"malignant/bus_0001-{s}{m}.png" for s in "lr" for m in ("", "_mask")),
        *(f"benign/bus_0002-{s}{m}.png" for s in "lr" for m in ("", "_mask")),
    }
    images = [f"{f.parent.name}/{f.name}" for f in raw.glob("*/bus_????-?.png")]
    entries = metadata.read(raw, images)
    entry = entries["benign/bus_0002-l.png"]
    assert (entry.patient, entry.pixel_mm) == ("2", 0)
    assert entry.further == {
        "Histology": "Cyst", "BIRADS": "4", "Device": "GE Logiq 5", "Width": "8", "Height": "8",
        "Side": "l", "BBOX": "[3, 3, 2, 2]",
    }  # fmt: skip


def test_a_table_is_a_source_and_its_folder_may_hold_anything(raw, tmp_path):
    rows = [("a.png", "Benign", "", "7")]
    files = {"t.csv": as_csv(("image", "label", "mask", "patient"), rows), "a.png": encoded()}
    source = folder(tmp_path / "s", files | {"other.txt": b"x"})
    came = importer.lay_out(source / "t.csv", raw)
    assert (came.format, came.left_out, came.unmasked) == ("table", (), 1)
    assert (raw / "images.csv").read_text() == "image,patient,pixel_mm\nbenign/a.png,7,\n"


def test_a_missing_file_of_a_table_is_named_and_nothing_comes(raw, tmp_path):
    files = bus_bra("", 8)
    for number in range(1, 7):
        del files[f"Images/bus_000{number}-l.png"], files[f"Masks/mask_000{number}-r.png"]
    with pytest.raises(InvalidDataError, match=r"bus_0001-l\.png, .* and 2 more are missing"):
        importer.lay_out(folder(tmp_path / "s", files), raw)
    assert not raw.parent.exists()


def test_a_column_of_a_name_that_is_taken_is_refused(raw, tmp_path):
    files = bus_bra("", 1)
    files["bus_data.csv"] = files["bus_data.csv"].replace(b"Device", b"patient")
    with pytest.raises(InvalidDataError, match="a column patient in addition to the format's own"):
        importer.lay_out(folder(tmp_path / "s", files), raw)


def test_an_image_twice_in_a_table_is_refused(raw, tmp_path):
    files = bus_bra("", 1)
    files["bus_data.csv"] += files["bus_data.csv"].splitlines(keepends=True)[1]
    with pytest.raises(InvalidDataError, match=r"would both be malignant/bus_0001-l\.png"):
        importer.lay_out(folder(tmp_path / "s", files), raw)


def test_the_real_set(busi, raw, tmp_path):
    part = tmp_path / "part"
    for name in ("benign (195)", "malignant (4)", "normal (1)"):
        for file in busi.glob(f"*/{name}*.png"):
            (part / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, part / file.parent.name)
    came = importer.lay_out(part, raw)
    assert came.per_class == {"benign": 1, "malignant": 1, "normal": 1}
    assert came.masks == 5
    assert below(raw) == below(part)


def test_classes_under_other_names_are_mapped_and_kept_beside(raw, tmp_path):
    files = {f"{label}/{label}.png": encoded() for label in ("IDC", "dcis", "cyst")}
    source = folder(tmp_path / "s", files)
    with pytest.raises(InvalidDataError, match=r"cyst, dcis, idc, .* --map cyst=\.\.\.,dcis="):
        importer.lay_out(source, raw, needed="malignant")
    options = importer.ImportOptions(classes={"tumor": "malignant"})
    with pytest.raises(InvalidDataError, match=r"--map tumor=malignant: .* cyst, dcis, idc"):
        importer.lay_out(source, raw, options=options)
    options = importer.ImportOptions(classes={"idc": "malignant", "dcis": "malignant"})
    came = importer.lay_out(source, raw, options=options, needed="malignant")
    assert came.per_class == {"cyst": 1, "malignant": 2}
    entries = metadata.read(raw, ["malignant/IDC.png", "malignant/dcis.png", "cyst/cyst.png"])
    kept = {image: entry.further["source_label"] for image, entry in entries.items()}
    assert kept == {
        "malignant/IDC.png": "idc", "malignant/dcis.png": "dcis", "cyst/cyst.png": "cyst",
    }  # fmt: skip
