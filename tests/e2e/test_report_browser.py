"""The report in a real browser: nothing overflows, nothing is complained of, the switch works."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hgmnet.evaluation import model_maps
from pipelines.report.comparison import render
from pipelines.report.gallery import GalleryImage, choose, draw_shelves
from pipelines.report.html import render_page
from pipelines.report.inputs import ReportInputs
from tests.devtools import CHROMIUM, WIDER, Tab, browser
from tests.made_up import certainty, consistency, evidence, mask_curve, subgroups
from tests.unit.test_report_comparison import compared, rows, worse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def of_kind(kind: str) -> ReportInputs:
    """Evidence of one kind of model, with every table that a report may have."""
    parts = {"subgroups": subgroups(), "certainty": certainty(), "mask_curve": mask_curve()}
    parts |= {"consistency": consistency()}
    if kind in {"failed", "not judged"}:
        return evidence(data="busi", status=kind, **parts)
    made = evidence(**parts)
    if kind == "two classes":
        cases = tuple(case for case in made.cases if case.label != "normal")
        spec = made.spec.model_copy(update={"classes": ("benign", "malignant")})
        return replace(made, cases=cases, spec=spec)
    if kind == "one task":
        model = made.spec.model.model_copy(update={"tasks": "segmentation"})
        cases = tuple(replace(case, probs={}, predicted="", decision="") for case in made.cases)
        return replace(made, cases=cases, spec=made.spec.model_copy(update={"model": model}))
    return made


KINDS = ["failed", "not judged", "passed phantom", "two classes", "one task"]


@pytest.fixture(scope="module", params=KINDS[:2])
def page(request, tmp_path_factory) -> Path:
    """A report with a picture of speckle behind every outline."""
    return write_page(request.param, tmp_path_factory.mktemp("report"))


def write_page(kind: str, folder: Path) -> Path:
    rng = np.random.default_rng(0)
    mask = np.zeros((300, 500), dtype=bool)
    mask[80:200, 150:350] = True
    grey = rng.integers(0, 256, mask.shape, dtype=np.uint8)
    made = of_kind(kind)
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    gates = (model_maps.gate(scale, 8) for scale in range(1, 6))
    maps = tuple(
        (layer, ramp) for layer in (model_maps.PROB, model_maps.COARSE, *gates, model_maps.EVIDENCE)
    )
    picture = GalleryImage(grey, mask, np.roll(mask, 40, 1), maps)
    learns = {"segments": made.spec.model.segments, "classifies": made.spec.model.classifies}
    chosen = choose(made.shown, **learns)
    shelves = draw_shelves(chosen, {c.image: picture for c in made.shown})
    path = folder / "index.html"
    path.write_text(render_page(made, shelves), encoding="utf-8")
    return path


@pytest.fixture
def opened(page, tab) -> Tab:
    """The report, fresh, in a window of 800 px."""
    return show(tab, page, 800)


def show(tab: Tab, page: Path, width: int) -> Tab:
    """Load a page at a width in px; events of earlier pages are dropped."""
    tab.size(width)
    tab.call("Page.navigate", url="about:blank")
    tab.wait("location.href === 'about:blank'")
    tab.heard.clear()
    tab.open(page.as_uri())
    return tab


def test_the_page_as_it_is_loads_without_a_complaint(opened):
    assert opened.ask("document.documentElement.outerHTML.includes('<h1')")
    assert opened.complaints() == []


def test_a_complaint_would_be_seen(page, tab, tmp_path):
    html, loud = page.read_text(encoding="utf-8"), tmp_path / "loud.html"
    loud.write_text(html.replace("</body>", '<img src="https://localhost:9/x.png"></body>'))
    assert any("Content Security Policy" in line for line in show(tab, loud, 800).complaints())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wider_than_the_window(kind, tab, tmp_path):
    page = write_page(kind, tmp_path)
    measured = f"[innerWidth, document.documentElement.scrollWidth, {WIDER}]"
    for width in (320, 400, 640, 900, 1280):
        assert show(tab, page, width).ask(measured) == [width, width, []]
        assert tab.complaints() == []


def test_the_switch_hides_the_outlines(page, opened):
    toggle = "document.getElementById('outlines').click()"
    outlines = "[...document.querySelectorAll('.outline')]"
    shown = f"{outlines}.filter(e => e.getClientRects().length).length"
    count = page.read_text(encoding="utf-8").count('class="outline ')
    assert count > 0
    found = opened.ask(f"[{shown}, {toggle}, {shown}, {toggle}, {shown}]")
    assert found == [count, None, 0, None, count]


@pytest.mark.parametrize("key", ["prob", "gate2", "evidence"])
def test_a_map_is_laid_over_every_picture_and_taken_away(page, opened, key):
    html = page.read_text(encoding="utf-8")
    count = html.count('class="layer prob"')
    assert count > 0
    seen = "[...document.querySelectorAll('.layer')].filter(e => e.getClientRects().length)"
    kinds = f"[...new Set({seen}.map(e => e.classList[1]))].join() + {seen}.length"
    note = "[...document.querySelectorAll('.for')].filter(e => e.getClientRects().length)"
    notes = f"{note}.map(e => e.classList[1]).join()"
    press = "document.querySelector('label[for=layer-{}]').click()"
    asked = f"[{kinds}, {press.format(key)}, {kinds}, {notes}, {press.format('none')}, {kinds}]"
    assert opened.ask(asked) == ["0", None, f"{key}{count}", key, None, "0"]


def test_every_control_can_be_reached_by_keyboard(opened):
    """None is hidden from focus, and each has a name."""
    controls = "[...document.querySelectorAll('input, summary, a')]"
    unseen = "e.tabIndex < 0 || e.disabled || getComputedStyle(e).visibility === 'hidden'"
    nameless = "e.tagName === 'INPUT' && !e.labels.length"
    assert opened.ask(f"{controls}.filter(e => {unseen} || {nameless}).length") == 0


def test_every_link_leads_somewhere(opened):
    links = "[...document.querySelectorAll('a')].map(e => e.getAttribute('href'))"
    lost = f"{links}.filter(a => !document.querySelector(a))"
    assert opened.ask(f"[{links}.length > 5, {lost}]") == [True, []]


def test_it_prints_on_a_few_pages_with_everything_on_them(opened):
    """Letters lie compressed in a PDF, so what is printed is counted by its pages."""
    pdf = base64.b64decode(
        opened.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]
    )
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert 3 <= pages <= 12


def test_the_comparison_loads_without_a_complaint_and_fits(tab, tmp_path):
    path = tmp_path / "compare.html"
    html = render(compared(rows(), worse()), ("reports/a", "version 12"), "phantom")
    path.write_text(html, encoding="utf-8")
    for width in (400, 1280):
        assert show(tab, path, width).ask(f"[innerWidth, {WIDER}]") == [width, []]
        assert tab.complaints() == []


def test_the_switch_can_be_reached_by_keyboard(opened):
    focus = "(document.getElementById('outlines').focus(), document.activeElement.id)"
    assert opened.ask(focus) == "outlines"


def test_a_screenshot_shows_both_outlines_over_the_picture(opened):
    """The first picture alone: the colours of the legend don't count."""
    box = "document.querySelector('.outline').closest('svg').getBoundingClientRect()"
    place = opened.ask(f"(({{x, y, width, height}}) => ({{x, y, width, height}}))({box})")
    clip = {**place, "scale": 1}
    shot = opened.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB")).astype(int)
    for colour in ((0x56, 0xB4, 0xE9), (0xF0, 0xA0, 0x00)):
        assert (np.abs(pixels - colour).max(axis=2) < 6).sum() > 200
