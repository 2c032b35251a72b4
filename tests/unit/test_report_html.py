"""The page and the model card: the verdict, what stands beside a figure, and what must be said."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from hgmnet.evaluation import model_maps
from hgmnet.metrics.bootstrap import Figure
from pipelines.artifacts.gate import ClauseResult
from pipelines.artifacts.validation import LabelConflict
from pipelines.report import model_card
from pipelines.report import text as wording
from pipelines.report.doubts import doubts
from pipelines.report.gallery import GalleryImage, choose, draw_shelves, list_shelves
from pipelines.report.html import render_page
from pipelines.report.model_card import render_model_card
from tests.made_up import (
    certainty,
    check,
    drift,
    evidence,
    figure,
    mask_curve,
    provenance,
    subgroups,
    verdict,
)

STATUSES = ("passed", "failed", "not judged")


def page(made):
    rng = np.random.default_rng(0)
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:20, 8:30] = True
    picture = GalleryImage(rng.integers(0, 256, (30, 40), dtype=np.uint8), mask, mask)
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
    made = evidence(status=status)
    html = page(made)
    shown = Text(html)
    assert shown.open == []
    assert f"<title>HGM-Net on phantom: {word}</title>" in html
    assert html.index("<h1") < html.index("<h2")
    heading = re.search(r'<h1 class="\w+">(.*)</h1>', html).group(1)
    assert Text(heading).text == f"{word} , {len(doubts(made))} doubts"
    assert all(doubt in shown.text for doubt in doubts(made))


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
    assert "Not judged: the test split was not evaluated" in text
    assert '<td class="num value">0.600</td>' in html
    assert "0.742" not in text
    assert "benign (9)" in text
    assert "benign (1)" not in text
    assert '<span class="badge not-judged">' in html
    assert "not evaluated" in render_model_card(evidence(status="not judged"))


@pytest.mark.parametrize(
    ("beyond", "said"),
    [
        ((), "is like the training images in all 2 features."),
        (("lesion_area",), "differs from the training images in 1 of 2 features: lesion area."),
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
    for shown in (Text(page(made)).text, render_model_card(made)):
        for part in (*wording.LIMITS, made.identity, made.spec.fingerprint, "7e57" * 16):
            assert part in shown
        assert "a reconstruction from the abstract" in shown


def test_files_that_are_not_there_leave_their_sections_out_with_a_line():
    text = Text(page(evidence())).text
    for said in (
        "Left out: reports/evaluation/subgroups.json is absent.",
        "Coverage is left out: reports/evaluation/certainty.json is absent.",
        "operating points are left out: reports/calibration/mask_curve.json is absent.",
        "The shortcut check is left out",
    ):
        assert said in text
    bare = evidence(provenance=provenance(run=None, copies=None, sides={}, lock_id=None))
    shown = Text(page(bare))
    assert shown.open == []
    assert "Training run not available: reports/train/run.json is absent" in shown.text
    assert "Split lock not available" in shown.text
    assert "Near-duplicates" not in shown.text


def test_sections_of_files_that_are_there():
    made = evidence(subgroups=subgroups(), certainty=certainty(), mask_curve=mask_curve())
    html = page(made)
    text = Text(html).text
    assert "is left out: reports" not in text
    assert "Left out: reports" not in text
    assert "By lesion size" in text
    row = re.search(r'<th scope="row">small</th>(.*?)</tr>', html, re.DOTALL)[1]
    assert "0.500" in row
    assert "n &lt; 30" in row
    row = re.search(r'<th scope="row">large</th>(.*?)</tr>', html, re.DOTALL)[1]
    assert "0.900" in row
    assert "n &lt; 30" not in row
    assert "referred: 12.5%" in text
    assert "Chosen: threshold 0.400, minimum area 0.5 %" in text


def test_the_shortcut_check_stands_with_its_interval_and_what_it_can_not_say():
    shown = {
        "evidence_inside": figure(0.4),
        "evidence_chance": figure(0.1),
        "evidence_above_chance": figure(0.3),
    }
    made = evidence()
    shown = replace(made, evaluation=made.evaluation.model_copy(update={"test": shown}))
    sentence = (
        "Class evidence inside the lesion: 40.0 % on average (34.0 % to 45.0 %) against 10.0 %"
    )
    for text in (Text(page(shown)).text, render_model_card(shown)):
        assert sentence in text
        assert "more than chance" in text
        assert "does not prove that the network uses" in text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "more than chance"),
        (-0.1, 0.2, "not significantly different from chance"),
        (-0.3, -0.1, "less than chance"),
    ],
)
def test_the_shortcut_is_judged_by_the_interval_of_the_difference(low, high, said):
    above = Figure(value=(low + high) / 2, low=low, high=high, n=9, groups=8)
    share = figure(0.2)
    shown = {"evidence_inside": share, "evidence_chance": share, "evidence_above_chance": above}
    assert f": {said} (" in wording.shortcut(shown)
    assert wording.shortcut({}) is None


def test_data_and_lineage_tell_counts_copies_exclusions_and_the_training():
    html = page(evidence())
    text = Text(html).text
    row = re.search(r'<th scope="row">benign</th><td class="num">20</td>(.*?)</tr>', html)[1]
    assert re.findall(r">([^<>]+)</td>", row) == ["24", "6", "8", "2"]
    for said in (
        "3 pairs of copies and 5 pairs of frames of one scene",
        "9 images in 4 groups",
        "2 images: label conflict <1>",
        "No copies with contradictory labels were found.",
        "c0ffee" * 6 + "c0ff, with uncommitted changes",
        "CPU (x86_64), 2 threads",
        "Training took 4 min",
        "torch 2.15.0",
        "5e11" * 16,
        "da7a" * 16,
    ):
        assert said in text
    assert "label conflict &lt;1&gt;" in html


def test_label_conflicts_are_named():
    conflict = LabelConflict(labels={"benign/a.png": "benign", "m/<b>.png": "malignant"}, links=())
    made = evidence()
    with_it = made.validation.model_copy(update={"conflicts": (conflict,)})
    html = page(replace(made, validation=with_it))
    assert "Copies with contradictory labels, 1 group:" in html
    assert "benign/a.png (benign), m/&lt;b&gt;.png (malignant)" in html


def test_without_pictures_the_page_holds_none_and_the_captions():
    made = evidence()
    html = render_page(made, list_shelves(choose(made.shown)))
    assert "report.images: false" in html
    assert "data:image" not in html
    assert "<image" not in html
    assert 'type="radio"' not in html
    assert "benign (1)" in html


def test_every_layer_has_a_labelled_radio_button_a_note_and_a_rule():
    css = (Path(wording.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    layers = (
        model_maps.PROB,
        model_maps.COARSE,
        *(model_maps.gate(i, 2) for i in range(1, 6)),
        model_maps.EVIDENCE,
    )
    for layer in layers:
        assert f"#gallery:has(#layer-{layer.key}:checked) .{layer.key}" in css
    ramp = np.zeros((2, 2), np.float32)
    none = np.zeros((30, 40), dtype=bool)
    maps = tuple((layer, ramp) for layer in layers)
    picture = GalleryImage(np.zeros((30, 40), np.uint8), none, none, maps)
    made = evidence()
    shelves = draw_shelves(choose(made.shown), {c.image: picture for c in made.shown})
    html = render_page(made, shelves)
    for layer in layers:
        assert f'<input type="radio" name="layer" id="layer-{layer.key}">' in html
        assert f'<label for="layer-{layer.key}">{layer.name}</label>' in html
        assert f"{layer.name}: {layer.note}." in html
    assert Text(html).open == []


def test_published_figures_stand_on_busi_alone_each_as_not_comparable():
    table = page(evidence(data="busi")).partition('<table class="all published">')[2]
    rows = table.partition("</table>")[0].count('<tr><th scope="row">')
    assert rows == table.count("; not comparable</td></tr>") == 4
    assert "Published on BUSI" not in page(evidence())


def test_claim_has_all_items_filled_from_the_run_or_no():
    card = render_model_card(evidence())
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", card.split("## CLAIM")[1], re.MULTILINE)
    assert [int(n) for n, *_ in rows] == list(range(1, 45))
    answers = {int(n): answer for n, _, answer in rows}
    assert answers[44].startswith("No")
    assert answers[34] == "not applicable: no clinical trial"
    assert answers[7] == "generated by this repository"
    assert "torch 2.15.0" in answers[23]
    assert answers[37].startswith("val and test")
    bare = evidence(data="busi", provenance=provenance(run=None, sides={}, lock_id=None))
    without = {i.number: i.answer for i in model_card.items(bare)}
    assert {without[n][:3] for n in (10, 16, 19, 23, 26, 35)} == {"No:"}


def test_patients_are_counted_where_the_source_names_them():
    named = evidence(provenance=provenance(patients=12, shared=0))
    (item,) = [one for one in model_card.items(named) if one.number == 20]
    assert item.answer.endswith("12 patients, none in two splits")
    assert "12 patients, none in two splits" in page(named)
    assert "Without patient identifiers" not in page(named)
    assert "Without patient identifiers" in page(evidence())


def test_the_plan_states_the_intended_use_and_what_was_not_judged():
    made = replace(evidence(), intended_use="To triage <women> at recall.")
    assert "To triage <women> at recall." in render_model_card(made)
    assert (
        wording.plan_summary(
            [
                ClauseResult(clause=f"c{n}", status=s, reason="r")
                for n, s in enumerate(("held", "not judged"))
            ]
        )
        == "1 held, 1 not judged"
    )


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
    assert sentence == "The one check passed on the test split of phantom."
