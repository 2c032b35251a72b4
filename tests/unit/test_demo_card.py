"""A model card as HTML: its tables, no style of its own, and nothing in it that acts."""

from types import SimpleNamespace

from hgmnet.serving.model_card import card_beside, to_html

CARD = "# A *card*\n\n| figure | value |\n|---|---:|\n| Dice | 0.726 |\n"


def test_headings_and_tables_become_html():
    html = to_html(CARD)
    assert "<h1>A <em>card</em></h1>" in html
    assert "<td>Dice</td>" in html


def test_numbers_stand_right_by_a_class_since_the_page_allows_no_inline_style():
    html = to_html(CARD)
    assert html.count('class="num"') == 2
    assert "style=" not in html


def test_what_would_act_or_fetch_is_shown_as_text():
    html = to_html("<script>alert(1)</script> ![x](http://h/x.png) [a](javascript:alert(1))")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<img" not in html
    assert 'href="javascript' not in html


def test_a_card_counts_only_for_the_model_that_it_names(tmp_path):
    """What lies beside may be of a model before this one."""
    folder, file = tmp_path / "models" / "hgmnet", tmp_path / "reports" / "model_card.md"
    folder.mkdir(parents=True)
    file.parent.mkdir()
    find, served = card_beside(folder), SimpleNamespace(predictor=SimpleNamespace(identity="abc"))
    assert find(served) == ""
    file.write_text("of a model with sha256 xyz")
    assert find(served) == ""
    file.write_text("of a model with sha256 abc")
    assert find(served) == "of a model with sha256 abc"
