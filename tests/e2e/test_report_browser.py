"""The report in a real browser: nothing overflows, nothing is complained of, the switch works."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.comparison.page import render
from pipelines.report import heat
from pipelines.report.gallery import Picture, draw_shelves
from pipelines.report.page import render_page
from pipelines.report.shelves import choose
from tests.devtools import CHROMIUM, WIDER
from tests.made_up import certainty, evidence, mask_curve, subgroups
from tests.unit.test_compare import compared, rows, worse

QUIET = (
    "--headless",
    "--no-sandbox",
    "--hide-scrollbars",
    *("--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
)
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)"),
]


@pytest.fixture
def browse(tmp_path):
    """Run chromium once over a page with more options; gives what it printed and its log."""

    def run(page: Path, *options: str) -> tuple[str, str]:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [CHROMIUM, *QUIET, profile, *options, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, done.stderr

    return run


@pytest.fixture(params=["failed", "not judged"])
def page(request, tmp_path):
    """A report with a picture of speckle behind every outline."""
    rng = np.random.default_rng(0)
    mask = np.zeros((300, 500), dtype=bool)
    mask[80:200, 150:350] = True
    grey = rng.integers(0, 256, mask.shape, dtype=np.uint8)
    told = {"subgroups": subgroups(), "certainty": certainty(), "mask_curve": mask_curve()}
    made = evidence(data="busi", status=request.param, **told)
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    gates = (heat.gate(scale, 8) for scale in range(1, 6))
    maps = tuple((layer, ramp) for layer in (heat.PROB, heat.COARSE, *gates, heat.EVIDENCE))
    picture = Picture(grey, mask, np.roll(mask, 40, 1), maps)
    shelves = draw_shelves(choose(made.shown), {c.image: picture for c in made.shown})
    path = tmp_path / "index.html"
    path.write_text(render_page(made, shelves), encoding="utf-8")
    return path


def test_the_page_as_it_is_loads_without_a_complaint(page, browse):
    dom, log = browse(page, "--dump-dom", "--enable-logging=stderr", "--log-level=0")
    assert "<h1" in dom
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []


def test_a_complaint_would_be_seen(page, browse):
    html = page.read_text(encoding="utf-8")
    page.write_text(html.replace("</body>", '<img src="https://localhost:9/x.png"></body>'))
    _, log = browse(page, "--dump-dom", "--enable-logging=stderr", "--log-level=0")
    assert "Content Security Policy" in log


@pytest.mark.parametrize("width", [320, 400, 900, 1280])
def test_nothing_is_wider_than_the_window(page, browse, width):
    """In a frame, since a headless window is never narrower than 500 px."""
    measured = f"[innerWidth, document.documentElement.scrollWidth, {WIDER}]"
    found = framed(page, browse, width, measured)
    assert found.startswith(f"[{width},{width},[]]"), found


def test_the_switch_hides_the_outlines(page, browse):
    toggle = "document.getElementById('outlines').click()"
    outlines = "[...document.querySelectorAll('.outline')]"
    shown = f"{outlines}.filter(e => e.getClientRects().length).length"
    count = page.read_text(encoding="utf-8").count('class="outline ')
    assert count > 0
    found = framed(page, browse, 800, f"[{shown}, {toggle}, {shown}, {toggle}, {shown}]")
    assert found == f"[{count},null,0,null,{count}]"


@pytest.mark.parametrize("key", ["prob", "gate2", "evidence"])
def test_a_map_is_laid_over_every_picture_and_taken_away(page, browse, key):
    html = page.read_text(encoding="utf-8")
    count = html.count('class="layer prob"')
    assert count > 0
    seen = "[...document.querySelectorAll('.layer')].filter(e => e.getClientRects().length)"
    kinds = f"[...new Set({seen}.map(e => e.classList[1]))].join() + {seen}.length"
    note = "[...document.querySelectorAll('.for')].filter(e => e.getClientRects().length)"
    notes = f"{note}.map(e => e.classList[1]).join()"
    press = "document.querySelector('label[for=layer-{}]').click()"
    asked = f"[{kinds}, {press.format(key)}, {kinds}, {notes}, {press.format('none')}, {kinds}]"
    found = framed(page, browse, 800, asked)
    assert found == f'["0",null,"{key}{count}","{key}",null,"0"]'


def test_every_control_can_be_reached_by_keyboard(page, browse):
    """None is hidden from focus, and each has a name."""
    controls = "[...document.querySelectorAll('input, summary, a')]"
    unseen = "e.tabIndex < 0 || e.disabled || getComputedStyle(e).visibility === 'hidden'"
    nameless = "e.tagName === 'INPUT' && !e.labels.length"
    found = framed(page, browse, 800, f"{controls}.filter(e => {unseen} || {nameless}).length")
    assert found == "0"


def test_every_link_leads_somewhere(page, browse):
    links = "[...document.querySelectorAll('a')].map(e => e.getAttribute('href'))"
    lost = f"{links}.filter(a => !document.querySelector(a))"
    assert framed(page, browse, 800, f"[{links}.length > 5, {lost}]") == "[true,[]]"


def test_it_prints_on_a_few_pages_with_everything_on_them(page, browse, tmp_path):
    """Letters lie compressed in a PDF, so what is printed is counted by its pages."""
    pdf = tmp_path / "report.pdf"
    browse(page, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
    assert 3 <= pages <= 12


def test_the_comparison_loads_without_a_complaint_and_fits(browse, tmp_path):
    path = tmp_path / "compare.html"
    html = render(compared(rows(), worse()), ("reports/a", "version 12"), "phantom")
    path.write_text(html, encoding="utf-8")
    _, log = browse(path, "--dump-dom", "--enable-logging=stderr", "--log-level=0")
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []
    for width in (400, 1280):
        assert framed(path, browse, width, f"[innerWidth, {WIDER}]") == f"[{width},[]]"


def test_the_switch_can_be_reached_by_keyboard(page, browse):
    focus = "(document.getElementById('outlines').focus(), document.activeElement.id)"
    assert framed(page, browse, 800, f"[{focus}]") == '["outlines"]'


def test_a_screenshot_shows_both_outlines_over_the_picture(page, browse, tmp_path):
    shot = tmp_path / "shot.png"
    browse(page, "--window-size=1280,6000", f"--screenshot={shot}")
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    for colour in ((0x56, 0xB4, 0xE9), (0xF0, 0xA0, 0x00)):
        assert (np.abs(pixels - colour).max(axis=2) < 6).sum() > 200


def framed(page: Path, browse, width: int, expression: str) -> str:
    """What an expression is worth inside the page, laid out at a width, as JSON."""
    script = (
        f"<script>addEventListener('load', () => parent.postMessage("
        f"JSON.stringify({expression}), '*'))</script>"
    )
    html = POLICY.sub("", page.read_text(encoding="utf-8")).replace("</body>", script + "</body>")
    inner, outer = page.with_name("inner.html"), page.with_name("outer.html")
    inner.write_text(html, encoding="utf-8")
    outer.write_text(
        "<!doctype html><pre></pre><script>addEventListener('message', e => "
        "document.querySelector('pre').textContent = e.data)</script>"
        f'<iframe src="inner.html" style="width:{width}px;height:900px;border:0"></iframe>'
    )
    dom, _ = browse(outer, "--dump-dom", "--window-size=1400,1000", "--virtual-time-budget=5000")
    told = re.search(r"<pre>(.*?)</pre>", dom, re.DOTALL)[1]
    return told.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
