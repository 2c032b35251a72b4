"""The log of served answers: every change breaks its chain, and nothing of a patient is in it."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.prediction.answer_log import AnswerLog, logged
from hgmnet.serving.api import build_app
from hgmnet.serving.model_slot import ModelSlot, load_folder
from tests.tiny_repository import make_repository

ROW = {"model": "hgmnet-busi", "version": "3", "model_sha256": "a" * 64, "decision": "benign"}


def entries(*names: str):
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    return [logged(digest, ROW | {"refer": False}, 0.25) for digest in digests]


@pytest.fixture
def log(tmp_path: Path) -> AnswerLog:
    """Five answers in three files."""
    log = AnswerLog(tmp_path / "log", file_bytes=600)
    for names in (("a", "b"), ("c", "d"), ("e",)):
        log.append(entries(*names))
    return log


def lines(log: AnswerLog) -> list[str]:
    return [line for file in log.files() for line in file.read_text().splitlines()]


def test_the_chain_goes_on_in_the_next_file(log):
    assert len(log.files()) == 3
    read = list(log.read())
    assert [answer.image_sha256 for answer, _ in read] == [
        hashlib.sha256(name.encode()).hexdigest() for name in "abcde"
    ]
    assert read[-1][1] == hashlib.sha256(lines(log)[-1].encode()).hexdigest()


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("how", ["changed", "removed", "doubled"])
def test_a_line_that_was_changed_removed_or_inserted_is_named(log, number, how):
    kept = lines(log)[number]
    file = next(file for file in log.files() if kept in file.read_text())
    now = {"changed": kept.replace("benign", "normal"), "removed": "", "doubled": f"{kept}\n{kept}"}
    text = file.read_text().replace(kept, now[how])
    file.write_text("".join(f"{line}\n" for line in text.splitlines() if line))
    with pytest.raises(InvalidDataError, match=r"answers-\d{6}\.jsonl, line \d"):
        list(log.read())


def test_what_a_killed_process_left_of_a_line_is_dropped(log):
    last = log.files()[-1]
    whole = last.read_text()
    last.write_text(f"{whole}{{half")
    with pytest.raises(InvalidDataError, match="cut short"):
        list(log.read())
    log.append(entries("f"))
    assert len(list(log.read())) == 6
    log.files()[-1].write_text("{half")  # the only line of a new file
    log.append(entries("g"))
    assert [one.image_sha256 for one, _ in log.read()][-1:] == [hashlib.sha256(b"g").hexdigest()]


def test_bytes_that_are_no_text_are_named(log):
    last = log.files()[0]
    last.write_bytes(last.read_bytes().replace(b"benign", b"ben\xffgn", 1))
    with pytest.raises(InvalidDataError, match="line 1 is no answer"):
        list(log.read())


def test_many_may_append_at_once(tmp_path):
    log = AnswerLog(tmp_path, file_bytes=2000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: log.append(entries(str(i))), range(40)))
    assert len(list(log.read())) == 40


def test_a_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(ConfigError, match="has no log of answers"):
        list(AnswerLog(tmp_path).read())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    return make_repository(tmp_path_factory.mktemp("repository"))


def test_the_server_logs_each_answer_before_it_sends_it(made, tmp_path):
    log = AnswerLog(tmp_path / "log")
    app = build_app(ModelSlot(load_folder(made.model, "hgmnet-phantom", "7")), log=log)
    images = [path.read_bytes() for path in sorted(made.raw.rglob("*.png"))][:2]
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answers = [client.post("/predict", content=image).json() for image in images]
        client.post("/predict", content=b"no image")
    read = [answer for answer, _ in log.read()]
    assert [one.image_sha256 for one in read] == [hashlib.sha256(i).hexdigest() for i in images]
    assert [one.decision for one in read] == [answer["decision"] for answer in answers]
    assert {(one.model, one.version) for one in read} == {("hgmnet-phantom", "7")}
    assert set(json.loads(lines(log)[0])) == {
        *("previous", "when", "model", "version", "model_sha256", "image_sha256", "frame"),
        *("decision", "refer", "seconds"),
    }


def test_an_answer_that_can_not_be_logged_is_not_sent(made, tmp_path):
    (tmp_path / "file").write_text("in the way")
    log = AnswerLog(tmp_path / "file" / "log")
    app = build_app(ModelSlot(load_folder(made.model)), log=log)
    image = next(made.raw.rglob("*.png")).read_bytes()
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.post("/predict", content=image)
    assert answer.status_code == 503
    assert "can't be logged" in answer.json()["detail"]
