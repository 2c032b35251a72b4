import os
from pathlib import PurePosixPath

from hgmnet.importing import importer
from hgmnet.importing.source_files import Folder
from tests.source_files import encoded, folder, refused


def test_a_broken_link_in_a_folder_is_named(raw, tmp_path):
    source = folder(tmp_path / "s", {"benign/a.png": encoded()})
    (source / "benign/b.png").symlink_to("nowhere")
    refused(source, r"benign/b\.png can't be read", raw)


def test_a_link_that_leads_out_of_a_folder_is_refused(raw, tmp_path):
    folder(tmp_path, {"secret.png": encoded()})
    source = folder(tmp_path / "s", {"benign/a.png": encoded()})
    (source / "benign/b.png").symlink_to(tmp_path / "secret.png")
    refused(source, r"benign/b\.png is a link that leads out", raw)


def test_a_link_that_stays_inside_is_followed(raw, tmp_path):
    source = folder(tmp_path / "s", {"benign/a.png": encoded(7)})
    (source / "normal").mkdir()
    (source / "normal/b.png").symlink_to("../benign/a.png")
    importer.lay_out(source, raw)
    assert (raw / "normal/b.png").read_bytes() == encoded(7)
    assert not (raw / "normal/b.png").is_symlink()


def test_links_in_a_circle_are_refused(raw, tmp_path):
    source = folder(tmp_path / "s", {"benign/a.png": encoded()})
    (source / "benign/b.png").symlink_to("c.png")
    (source / "benign/c.png").symlink_to("b.png")
    refused(source, r"benign/b\.png can't be read", raw)


def test_a_linked_folder_is_refused(raw, tmp_path):
    source = folder(tmp_path / "s", {"benign/a.png": encoded()})
    (source / "malignant").symlink_to("benign", target_is_directory=True)
    refused(source, "malignant is a linked folder", raw)


def test_the_source_itself_may_be_a_link(raw, tmp_path):
    folder(tmp_path / "s", {"benign/a.png": encoded()})
    (tmp_path / "link").symlink_to("s")
    assert importer.lay_out(tmp_path / "link", raw).per_class == {"benign": 1}


def test_a_pipe_is_refused_and_not_waited_for(raw, tmp_path):
    source = folder(tmp_path / "s", {"benign/a.png": encoded()})
    os.mkfifo(source / "benign/b.png")
    refused(source, r"benign/b\.png is not a regular file", raw)


def test_a_folder_gives_only_what_is_below_it(tmp_path):
    folder(tmp_path, {"secret.png": encoded(), "s/a.png": encoded()})
    files = Folder(tmp_path / "s")
    assert PurePosixPath("a.png") in files
    for name in ("../secret.png", str(tmp_path / "secret.png"), "a\0b", "x" * 300, "."):
        assert PurePosixPath(name) not in files


def test_what_is_too_large_is_not_read(raw, tmp_path):
    source = folder(tmp_path / "s", {"benign/a.png": b""})
    os.truncate(source / "benign/a.png", 2**28 + 1)  # takes no room
    refused(source, r"benign/a\.png is larger than 256 MiB", raw)
