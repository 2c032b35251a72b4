"""Served answers and their later labels: figures by hand, by version and month."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hgmnet.cli.main import main
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation.served import read_labels, score_served
from hgmnet.prediction.answer_log import AnswerLog, LoggedAnswer

TRUTH = {"a": "malignant", "b": "malignant", "c": "malignant", "d": "benign", "e": "normal"}


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def answer(name: str, decision: str, when: str = "2026-11-03", version: str = "3") -> LoggedAnswer:
    return LoggedAnswer(
        previous="", when=f"{when}T10:00:00", model="hgmnet-busi", version=version,
        model_sha256="a" * 64, image_sha256=digest(name), frame=0, decision=decision,
        refer=name == "d", seconds=0.1,
    )  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> AnswerLog:
    log = AnswerLog(tmp_path / "log")
    log.append([answer(name, "malignant") for name in "abd"])
    log.append([answer("c", "benign"), answer("e", "normal"), answer("x", "normal")])
    log.append([answer("a", "benign", "2026-12-01"), answer("b", "normal", version="4")])
    return log


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    rows = [f"{digest(name)},{label},p{i // 2}" for i, (name, label) in enumerate(TRUTH.items())]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["image_sha256,label,group", *rows]))
    return table


def test_the_figures_are_those_counted_by_hand(log, labels):
    found = {(one.version, one.month): one for one in score_served(log, read_labels(labels))}
    assert set(found) == {
        *(("hgmnet-busi version 3", month) for month in ("2026-11", "2026-12", "all")),
        *(("hgmnet-busi version 4", month) for month in ("2026-11", "all")),
    }
    november = found["hgmnet-busi version 3", "2026-11"]
    assert (november.answers, november.labelled, november.referred) == (6, 5, 1)
    values = {name: (one.value, one.n, one.groups) for name, one in november.figures.items()}
    assert values == {
        "served_sensitivity_malignant": (pytest.approx(2 / 3), 3, 2),
        "served_specificity_malignant": (0.5, 2, 2),
    }
    whole = found["hgmnet-busi version 3", "all"]  # the later answer for a counts: benign
    assert whole.figures["served_sensitivity_malignant"].value == pytest.approx(1 / 3)
    assert found["hgmnet-busi version 4", "all"].figures["served_sensitivity_malignant"].value == 0


def test_images_are_found_beside_the_table_and_masks_are_compared(tmp_path):
    truth, served = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    truth[:, :4], served[:, :6] = 255, 255
    for name, grey in (("i.png", truth), ("true.png", truth), ("served.png", served)):
        Image.fromarray(grey).save(tmp_path / name)
    table = tmp_path / "labels.csv"
    table.write_text("image;label;mask;served_mask\ni.png;benign;true.png;served.png\n")
    (later,) = read_labels(table).values()
    assert later.dice == pytest.approx(0.8)
    log = AnswerLog(tmp_path / "log")
    image = hashlib.sha256((tmp_path / "i.png").read_bytes()).hexdigest()
    log.append([replace_image(answer("i", "benign"), image)])
    (figures,) = {tuple(one.figures) for one in score_served(log, read_labels(table))}
    assert figures == ("served_specificity_malignant", "served_lesion_dice")


def replace_image(one: LoggedAnswer, image: str) -> LoggedAnswer:
    return one.model_copy(update={"image_sha256": image})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_sha256,group\na,1\n", "lacks the column label"),
        ("label\nbenign\n", "lacks the column image"),
        ("image,label\ngone.png,benign\n", "row 2: .*gone.png can't be read"),
        ("image_sha256,label\na,benign\n", "row 2: 'a' is no SHA-256"),
        (f"image_sha256,label\n{'a' * 64},\n", "row 2: its label is empty"),
        (
            f"image_sha256,label\n{'a' * 64},benign\n{'A' * 64},normal\n",
            "row 3: a row above has another label",
        ),
    ],
)
def test_a_mistake_in_the_labels_is_named(tmp_path, text, said):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InvalidDataError, match=said):
        read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("label", "image", "said"),
    [("malign", "a", "the labels malign are no classes"), ("benign", "q", "none of 1 labels")],
)
def test_labels_of_other_classes_or_images_are_refused(log, tmp_path, label, image, said):
    (tmp_path / "labels.csv").write_text(f"image_sha256,label\n{digest(image)},{label}\n")
    with pytest.raises(InvalidDataError, match=said):
        score_served(log, read_labels(tmp_path / "labels.csv"))


def test_the_commands_print_a_table_and_a_head(log, labels, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["score-served", str(log.folder), str(labels)]) == 0
    shown = capsys.readouterr().out
    assert "5 of 6 answers labelled, 1 referred" in shown
    assert "Sensitivity for malignant, as served  0.667" in shown
    assert main(["log", "--verify", str(log.folder)]) == 0
    shown = capsys.readouterr().out
    head = shown.strip().rpartition(" ")[2]
    assert "8 answers, every link holds" in shown
    assert main(["log", "--verify", str(log.folder), "--head", head]) == 0
    assert main(["log", "--verify", str(log.folder), "--head", "0" * 64]) == 4
    assert "cut or rewritten" in capsys.readouterr().err
