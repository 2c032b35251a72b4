"""The page and the model card: the verdict, what stands beside a figure, and what must be said."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pipelines.report import wording
from pipelines.report.gallery import Picture, draw_shelves
from pipelines.report.model_card import render_model_card
from pipelines.report.page import render_page
from pipelines.report.shelves import choose
from tests.made_up import check, drift, evidence, verdict

STATUSES = ("passed", "failed", "not judged")


def page(made):
    rng = np.random.default_rng(0)
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:20, 8:30] = True
    picture = Picture(rng.integers(0, 256, (30, 40), dtype=np.uint8), mask, mask)
    return render_page(
        made, draw_shelves(choose(made.shown), {c.image: picture for c in made.shown})
    )


class Text(HTMLParser):
    """What a page says, and whether every element is closed."""

    VOID = ("meta", "link", "input", "br")

    def __init__(self, html):
        super().__init__()
        self.words, self.open, self.addresses = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in {"src", "href", "srcset", "action"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize(
    ("status", "word"), [("passed", "PASSED"), ("failed", "REJECTED"), ("not judged", "NOT JUDGED")]
)
def test_the_verdict_comes_first_and_every_element_is_closed(status, word):
    html = page(evidence(status=status))
    told = Text(html)
    assert told.open == []
    assert f"<title>HGM-Net on phantom: {word}</title>" in html
    assert html.index("<h1") < html.index("<h2")
    assert re.search(rf'<h1 class="\w+">{word}</h1>', html)


@pytest.mark.parametrize("status", STATUSES)
def test_the_page_asks_for_nothing_from_outside_and_runs_no_script(status):
    html = page(evidence(status=status))
    assert all(a.startswith(("data:", "#")) for a in Text(html).addresses)
    assert "url(" not in html
    assert "<script" not in html
    assert "@import" not in html


@pytest.mark.parametrize("status", STATUSES)
def test_the_same_evidence_gives_the_same_bytes(status):
    assert page(evidence(status=status)) == page(evidence(status=status))
    card = render_model_card(evidence(status=status))
    assert card == render_model_card(evidence(status=status))


def test_a_rejection_names_the_failing_check_and_by_how_much():
    made = evidence(status="failed")
    assert wording.verdict(made).sentence == (
        "1 of 2 checks failed on the test split of phantom: Lesion Dice is 0.7427, below 0.7431."
    )


@pytest.mark.parametrize(
    ("result", "clause"),
    [
        (check("accuracy", 0.8, 0.6124, passed=False), "Accuracy is 0.612, below 0.80"),
        (
            check("ece", 0.05, 0.0612, "conservative", passed=False),
            "Calibration error (ECE) at its conservative end is 0.061, above 0.05",
        ),
        (check("accuracy", 0.7431, 0.74305, passed=False), "Accuracy is 0.7430, below 0.7431"),
        (check("accuracy", 0.8, 0.79996, passed=False), "Accuracy is 0.79996, below 0.80"),
        (check("accuracy", 0.8, None, passed=False), "Accuracy could not be computed"),
    ],
)
def test_a_failed_check_never_looks_as_if_it_had_passed(result, clause):
    assert wording.broken(result) == clause


def test_without_test_figures_the_page_says_so_and_shows_val():
    html = page(evidence(status="not judged"))
    text = Text(html).text
    assert "Not judged: the test split was not opened" in text
    assert '<td class="num value">0.600</td>' in html
    assert "0.742" not in text
    assert "benign (9)" in text
    assert "benign (1)" not in text
    assert '<span class="badge not-judged">' in html
    assert "not opened" in render_model_card(evidence(status="not judged"))


@pytest.mark.parametrize(
    ("beyond", "said"),
    [
        ((), "is like the training images in all 2 facts."),
        (("lesion_area",), "differs from the training images in 1 of 2 facts: lesion area."),
    ],
)
def test_page_and_card_say_whether_the_evaluated_images_have_drifted(beyond, said):
    made = evidence(drift=drift("phantom", "brightness", "lesion_area", beyond=beyond))
    sentence = f"The test split of phantom {said}"
    assert sentence in Text(page(made)).text
    assert sentence in render_model_card(made)


@pytest.mark.parametrize("status", STATUSES)
def test_figures_on_phantom_are_never_shown_without_its_name(status):
    html = page(evidence(status=status))
    caption = re.search(r"<caption>(.*?)</caption>", html, re.DOTALL)[1]
    assert "<strong>phantom</strong> (synthetic)" in caption
    assert "say nothing about real images" in html
    card = render_model_card(evidence(status=status))
    assert "Figures on phantom say\nnothing about real images" in card
    assert "0.7431" not in card.split("## Gate")[0].split("## Figures")[1]


def test_the_papers_figures_stand_on_busi_alone():
    assert "protocol not public, not comparable" not in page(evidence())
    html = page(evidence(data="busi"))
    assert "protocol not public, not comparable" in html
    assert 'data-label="paper">0.7431</td>' in html
    assert "phantom" not in html
    assert "phantom" not in render_model_card(evidence(data="busi"))


def test_a_figure_stands_beside_its_interval_its_counts_and_what_needs_no_picture():
    figures = page(evidence()).split('id="figures"')[1]
    row = re.search(r"<tr><th[^>]*>Accuracy</th>(.*?)</tr>", figures, re.DOTALL)[1]
    for part in ("0.857", "0.797 to 0.907", "7 / 6", "majority class <b>0.560</b>"):
        assert part in row


def test_a_figure_that_could_not_be_computed_is_a_dash():
    html = page(evidence())
    row = re.search(r"<tr><th[^>]*>Sensitivity for malignant</th>(.*?)</tr>", html, re.DOTALL)[1]
    assert ">–<" in row
    assert "None" not in Text(html).text
    assert "| Sensitivity for malignant | – | – | 7 / 6 |" in render_model_card(evidence())


def test_names_from_the_data_are_escaped_in_the_page():
    html = page(evidence())
    assert "<i>" not in html.replace("<i></i>", "")
    assert "benign/&lt;b&gt;.png" in html


def test_the_limits_and_the_lineage_are_in_both():
    made = evidence()
    for told in (Text(page(made)).text, render_model_card(made)):
        for part in (*wording.LIMITS, made.identity, made.spec.fingerprint, "7e57" * 16):
            assert part in told
        assert "a reconstruction from the abstract" in told


def test_the_card_is_whole_tables():
    tables = re.findall(r"(?:^\|.*\n)+", render_model_card(evidence()), re.MULTILINE)
    assert len(tables) == 6
    for table in tables:
        assert len({row.count("|") for row in table.splitlines()}) == 1


def test_every_image_of_the_gallery_has_a_text_and_the_switch_a_label():
    html = page(evidence())
    tiles = re.findall(r'<svg viewBox[^>]*role="img" aria-label="([^"]+)"', html)
    assert len(tiles) == 2 + 1 + 2 + 1
    assert all(tile.startswith("Ultrasound image ") for tile in tiles)
    assert '<label for="outlines"' in html


def test_a_split_without_images_still_gets_a_page():
    made = replace(evidence(status="failed"), cases=())
    assert Text(page(made)).open == []


def test_unknown_figures_get_a_readable_name():
    assert wording.title("hd95_pixels") == "Hd95 pixels"
    assert wording.title("specificity_benign") == "Specificity for benign"
    assert wording.ordered(["zz", "ece", "aa", "lesion_dice"]) == ["lesion_dice", "ece", "aa", "zz"]


def test_a_single_check_is_told_in_the_singular():
    made = evidence()
    gate = verdict("passed", made.gate.checks[:1])
    sentence = wording.verdict(replace(made, gate=gate)).sentence
    assert sentence == "The one check holds on the test split of phantom."
