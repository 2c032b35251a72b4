"""Two versions side by side: the same pictures or a clear error, and where the two disagree."""

import re

import numpy as np
import pandas as pd
import pytest
from small_store import CLASSES, params

from hgmnet.errors import ConfigError, InvalidDataError
from pipelines.cli.main import main
from pipelines.report.comparison import compare_aligned, find_file, pair, read_rows, render, short
from tests.small_repository import write_params
from tests.unit.test_report_html import Text

NAMES = ("version 1", "version 2")


def rows(split: str = "test", **changes) -> pd.DataFrame:
    """Twelve images of 100 px: benign, malignant and normal in turn, all right."""
    table = []
    for i in range(12):
        label = CLASSES[i % 3]
        tp = 0 if label == "normal" else 8
        counts = {"tp": tp, "fp": 0, "fn": tp // 4, "tn": 100 - tp - tp // 4}
        row = {"image": f"{label}/{i}.png", "pixel_sha256": f"{i:064x}", "label": label}
        row |= {"group": f"g{i}", "split": split, "height": 10, "width": 10}
        for prefix in ("", "coarse_", "served_"):
            row |= {prefix + name: count for name, count in counts.items()}
        row |= {"predicted": label, "decision": label}
        row |= {f"prob_{name}": 0.8 if name == label else 0.1 for name in CLASSES}
        table.append(row)
    return pd.DataFrame(table).assign(**changes)


def compared(first: pd.DataFrame, second: pd.DataFrame):
    settings = params()
    evaluate = settings.evaluate.model_copy(update={"draws": 100})
    return compare_aligned(pair(first, second, NAMES), settings.model, evaluate)


def worse() -> pd.DataFrame:
    """Every Dice lower, one lesion lost, one benign called malignant."""
    table = rows()
    table.loc[table["label"] != "normal", ["tp", "fn"]] = (6, 4)
    table.loc[0, ["tp", "fn"]] = (0, 10)
    table.loc[3, ["decision", "prob_malignant"]] = ("malignant", 0.35)
    return table


def test_the_same_twice_is_told_apart_nowhere():
    found = compared(rows(), rows())
    assert (found.beyond, found.disagreements, found.images) == (0, (), 12)
    assert {row.paired.difference for row in found.rows} == {0}


def test_differences_are_the_second_minus_the_first_and_have_a_winner():
    for found, winner, sign in (
        (compared(rows(), worse()), "first", -1),
        (compared(worse(), rows()), "second", 1),
    ):
        (dice,) = (row for row in found.rows if row.metric == "lesion_dice")
        fine = (16 / 18, 7 * 12 / 16 / 8)
        assert dice.paired.difference == pytest.approx(sign * (fine[0] - fine[1]))
        assert dice.better == winner


def test_where_they_disagree_the_largest_difference_of_dice_first():
    found = compared(rows(), worse()).disagreements
    assert [(one.image, one.why) for one in found] == [
        ("benign/0.png", "Dice"),
        ("benign/3.png", "decision"),
    ]
    lost, called = found
    assert (lost.first.dice, lost.second.dice) == (pytest.approx(16 / 18), 0)
    assert (called.second.decision, called.second.prob) == ("malignant", 0.35)


def test_pictures_are_matched_by_their_pixels_whatever_their_names_and_order():
    renamed = rows()[::-1].assign(image=[f"benign/new{i}.png" for i in range(12)])
    assert compared(rows(), renamed).beyond == 0
    assert compared(rows(), renamed).rows


def test_test_is_compared_where_both_opened_it_and_val_otherwise():
    both = pd.concat([rows("val").assign(pixel_sha256="v"), rows()]).drop_duplicates("pixel_sha256")
    assert pair(both, both, NAMES).split == "test"
    val = rows("val")
    assert pair(pd.concat([val, rows()]), val, NAMES).split == "val"
    with pytest.raises(ConfigError, match="share no split"):
        pair(rows("val"), rows("test"), NAMES)


def test_other_images_are_refused_and_counted():
    other = rows()
    other.loc[:2, "pixel_sha256"] = ["x", "y", "z"]
    with pytest.raises(ConfigError, match="9 pictures are common, 3 and 3 are not"):
        pair(rows(), other, NAMES)
    relabelled = rows()
    relabelled.loc[0, "label"] = "malignant"
    with pytest.raises(ConfigError, match="version 1 and version 2 were evaluated on different"):
        pair(rows(), relabelled, NAMES)


def test_what_one_of_them_does_not_tell_is_not_compared():
    bare = rows().drop(columns=[name for name in rows() if "tp" in name or "fp" in name])
    named = {row.metric for row in compared(bare, rows()).rows}
    assert "accuracy" in named
    assert "lesion_dice" not in named
    empty = rows(decision=np.nan, predicted=np.nan, **{f"prob_{c}": np.nan for c in CLASSES})
    named = {row.metric for row in compared(rows(), empty).rows}
    assert "lesion_dice" in named
    assert "accuracy" not in named


def test_the_page_is_whole_and_asks_for_nothing_from_outside():
    html = render(compared(rows(), worse()), ("a <1>", "b & 2"), "phantom")
    told = Text(html)
    assert told.open == []
    assert all(address.startswith("data:") for address in told.addresses)
    assert "<script" not in html
    assert "a &lt;1&gt; and b &amp; 2" in html
    assert "phantom is synthetic" in told.text
    row = re.search(r'<th scope="row">Lesion Dice</th>(.*?)</tr>', html, re.DOTALL)[1]
    for part in ("0.889", "0.656", "−0.233"):
        assert part in row
    assert "On no image." in render(compared(rows(), rows()), NAMES, "busi")


def test_the_short_table_is_aligned_and_counts():
    text = short(compared(rows(), worse()), NAMES)
    lines = text.splitlines()
    assert lines[0] == "12 test images, 12 groups"
    assert lines[-1] == "the models disagree on 2 images, in the decision on 1"
    start = lines[2].index("better")
    assert {line[start - 1] for line in lines[3:-2]} == {" "}


@pytest.mark.parametrize("within", ["", "evaluation", "reports/evaluation"])
def test_a_folder_leads_to_its_rows(tmp_path, within):
    file = tmp_path / within / "per_image.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows().to_csv(file, index=False)
    assert find_file(tmp_path) == find_file(file) == file
    assert len(read_rows(file)) == 12


def test_what_is_no_evaluation_is_refused(tmp_path):
    assert find_file(tmp_path) is None
    (tmp_path / "per_image.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidDataError, match="lacks the columns image, pixel_sha256"):
        read_rows(tmp_path / "per_image.csv")
    (tmp_path / "per_image.csv").write_text("")
    with pytest.raises(InvalidDataError, match=r"is not (a readable|the) per_image\.csv"):
        read_rows(tmp_path / "per_image.csv")


def test_the_command_writes_the_page_and_leaves_the_report_alone(tmp_path, monkeypatch, capsys):
    write_params(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    rows().to_csv(tmp_path / "a.csv", index=False)
    worse().to_csv(tmp_path / "b.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "a.csv", "b.csv"]) == 0
    assert "the models disagree on 2 images" in capsys.readouterr().out
    assert "a.csv and b.csv" in (tmp_path / "reports/compare/index.html").read_text()
    assert not (tmp_path / "reports/html").exists()
    rows("val").to_csv(tmp_path / "b.csv", index=False)
    assert main(["compare", "a.csv", "b.csv"]) == 2
