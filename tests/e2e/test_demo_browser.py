"""`hgmnet demo` in a real browser, driven as a person does: by file dialog, keyboard and finger."""

import base64
import io
import socket
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import uvicorn
from PIL import Image

from hgmnet.serving.api import build_app
from hgmnet.serving.demo.app import build_demo
from hgmnet.serving.model_card import card_beside
from hgmnet.serving.model_slot import ModelSlot, load_folder
from tests.devtools import CHROMIUM, browser
from tests.source_files import dicom_file
from tests.tiny_repository import make_repository

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)"),
]
ENDED = (
    "[...document.querySelectorAll('#list li')].filter(e => ['done', 'failed']"
    ".includes(e.className)).length === {}"
)
CHOSEN = "document.querySelector('#list [aria-selected=true] b')?.textContent"
PICTURE = "document.querySelector('#picture svg')"
WIDER = (
    "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > "
    "innerWidth + 1 && !e.closest('#list, .samples')).map(e => e.outerHTML.slice(0, 80))"
)
"""What is wider than the window and in no strip that scrolls."""
RING = (
    "(e => getComputedStyle(e.id === 'files' ? e.nextElementSibling : e).outlineWidth)"
    "(document.activeElement)"
)
"""The focus ring; the file input lies unseen over its label."""
HIDDEN = "document.querySelector('{}').getClientRects().length === 0"


@contextmanager
def serving(app):
    """The application at a free port, in a thread; its address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two images, one file that is none, and a DICOM file."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(3)
    grey = [rng.integers(0, 256, (60, 80), dtype=np.uint8) for _ in range(3)]
    for name, pixels in zip(("one.png", "two.png"), grey, strict=False):
        Image.fromarray(pixels).save(folder / name)
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "three.dcm").write_bytes(dicom_file(grey[2], PixelSpacing=[0.5, 0.5]))
    return [folder / name for name in ("one.png", "bad.png", "two.png", "three.dcm")]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    space = make_repository(tmp_path_factory.mktemp("repository"))
    holder = ModelSlot(load_folder(space.model))
    space.model_card.write_text(f"# The card\n\n`{holder.served.predictor.identity}`\n")
    with serving(build_demo(holder, card_beside(space.model))) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser") / "profile") as tab:
        yield tab


@pytest.fixture
def tab(chromium, address):
    """The page, fresh, with nothing heard of yet."""
    chromium.prefer()
    chromium.size(1280)
    chromium.open(address)
    chromium.heard.clear()
    return chromium


@pytest.fixture
def filled(tab, files):
    """With all four files looked at."""
    tab.upload("#files", files)
    tab.wait(ENDED.format(4))
    return tab


def text(tab, selector: str) -> str:
    return tab.ask(f"document.querySelector('{selector}').innerText")


def click(tab, selector: str) -> None:
    """Where a pointer would: in the middle of it."""
    box = f"document.querySelector('{selector}')"
    tab.ask(f"{box}.scrollIntoView({{block: 'center'}})")
    x, y = tab.ask(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({box}.getBoundingClientRect())")
    for kind in ("mousePressed", "mouseReleased"):
        told = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        tab.call("Input.dispatchMouseEvent", **told)


def test_it_says_at_first_what_it_is_not(tab):
    assert "This is not a medical device" in text(tab, "header")
    assert "nowhere else" in text(tab, "header")
    assert tab.ask(HIDDEN.format(".say"))


def test_files_chosen_are_looked_at_in_order_and_a_bad_one_stops_none(filled):
    said = filled.ask("[...document.querySelectorAll('#list li')].map(e => e.innerText)")
    assert [one.split("\n")[0] for one in said] == ["one.png", "bad.png", "two.png", "three.dcm"]
    assert said[1].endswith("can't be read")
    assert sum("can't be read" in one for one in said) == 1
    assert filled.ask(CHOSEN) == "one.png"
    assert "probability" in text(filled, "#headline")
    assert text(filled, "#status").startswith("three.dcm: ")
    assert filled.ask("document.querySelector('#status').getAttribute('aria-live')") == "polite"
    assert filled.ask("document.querySelectorAll('#bars .bar').length") == 4
    assert filled.ask("document.querySelectorAll('#bars u').length") == 2  # both bounds are drawn


def test_the_keyboard_alone_chooses_reads_and_removes(filled):
    filled.ask("document.querySelector('#files').focus()")
    filled.press("Tab")
    assert filled.ask("document.activeElement.getAttribute('role')") == "option"
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowDown", "Home", "End", "ArrowUp"):
        filled.press(key)
        assert filled.ask("document.activeElement.querySelector('b').textContent") == filled.ask(
            CHOSEN
        )
        seen.append(text(filled, "#see-title"))
    assert seen == [
        *("bad.png", "two.png", "three.dcm", "three.dcm", "one.png", "three.dcm", "two.png")
    ]
    filled.press("Delete")
    assert filled.ask(CHOSEN) == "three.dcm"
    assert filled.ask("document.querySelectorAll('#list li').length") == 3
    assert "mm²" in text(filled, "#facts")


def test_what_is_wrong_with_a_file_is_told_in_its_place(filled):
    click(filled, "#list li:nth-child(2)")
    assert text(filled, "#wrong").startswith("bad.png can't be decoded as PNG, JPEG, BMP")
    assert filled.ask(HIDDEN.format(".say"))
    assert filled.ask(HIDDEN.format("#picture"))
    click(filled, "#list li:nth-child(3)")
    assert filled.ask(HIDDEN.format("#wrong"))


def test_a_layer_lies_over_the_picture_and_stays_for_the_next_image(filled):
    layer = f"{PICTURE}.querySelector('.layer')"
    assert filled.ask(layer) is None
    names = filled.ask("[...document.querySelectorAll('#layers label')].map(e => e.innerText)")
    assert names == [
        *("Nothing", "Probability", "Coarse probability"),
        *(f"Gate {scale}" for scale in range(1, 6)),
        *("Class evidence", "Disagreement"),
    ]
    click(filled, "#layer-none")
    for key in ("prob", "coarse", "gate1"):  # by the arrow keys, as radio buttons go
        filled.press("ArrowDown")
        assert filled.ask(f"{layer}.dataset.key") == key
    assert "the gate’s values" in text(filled, "#note")
    first = filled.ask(f"{layer}.getAttribute('href')")
    click(filled, "#list li:nth-child(3)")
    assert filled.ask(f"{layer}.dataset.key") == "gate1"
    assert filled.ask(f"{layer}.getAttribute('href')") != first
    click(filled, "#layer-none")
    assert filled.ask(layer) is None


def test_opacity_changes_what_is_seen(filled):
    click(filled, "#layer-evidence")
    shots = []
    for key in ("Home", "End"):
        filled.ask("document.querySelector('#opacity').focus()")
        filled.press(key)
        filled.ask("scrollTo(0, 0)")
        shots.append(seen(filled))
    assert text(filled, "#percent") == "100 %"
    coloured = [np.ptp(shot, axis=2).max() for shot in shots]
    assert coloured[0] < 20 < coloured[1]  # grey alone, then the map's colours


def seen(tab) -> np.ndarray:
    """The middle of the picture, without the outlines, as pixels."""
    tab.ask(
        "document.querySelector('#outline').checked && document.querySelector('#outline').click()"
    )
    x, y, width, height = tab.ask(
        f"(r => [r.x, r.y, r.width, r.height])({PICTURE}.getBoundingClientRect())"
    )
    shot = np.asarray(Image.open(io.BytesIO(tab.picture())).convert("RGB")).astype(int)
    top, left = int(y + height / 4), int(x + width / 4)
    return shot[top : int(y + height / 2), left : int(x + 3 * width / 4)]


def test_the_outline_comes_and_goes(tab):
    tab.ask("document.querySelector('[data-sample=malignant-2]').click()")
    tab.wait(ENDED.format(1))
    lines = f"[...{PICTURE}.querySelectorAll('.line')].map(e => e.classList[1]).join()"
    assert "calipers" in tab.ask(lines)
    click(tab, "#calipers")
    assert tab.ask(lines) in {"truth,found", "truth"}  # an untrained network may find nothing
    found = tab.ask(lines).count("found")
    click(tab, "#truth")
    assert tab.ask(lines) == "found" * found
    click(tab, "#outline")
    assert tab.ask(lines) == ""


def test_a_cine_is_turned_frame_by_frame(tab, tmp_path):
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (3 * 60, 80), dtype=np.uint8)
    data = dicom_file(pixels, Rows=60, NumberOfFrames=3, PixelSpacing=[0.5, 0.5])
    (tmp_path / "cine.dcm").write_bytes(data)
    tab.upload("#files", [tmp_path / "cine.dcm"])
    tab.wait(ENDED.format(1))
    assert text(tab, "#of") == "1 of 3"
    assert " mm: longest diameter" in text(tab, "#facts")
    first = tab.ask(f"{PICTURE}.querySelector('image').getAttribute('href')")
    tab.ask("document.querySelector('#frame').focus()")
    tab.press("End")
    tab.wait("document.querySelector('#mask').download === 'cine~f3_mask.png'")
    assert text(tab, "#of") == "3 of 3"
    assert tab.ask(f"{PICTURE}.querySelector('image').getAttribute('href')") != first
    click(tab, "#list li")
    assert text(tab, "#of") == "3 of 3"


def test_the_picture_is_saved_as_it_is_seen(filled):
    note = "window.saved = [this.download, this.href]"
    filled.ask(f"HTMLAnchorElement.prototype.click = function () {{ {note} }}")
    click(filled, "#layer-evidence")
    click(filled, "#keep")
    filled.wait("window.saved !== undefined")
    name, uri = filled.ask("window.saved")
    assert name == "one_overlay.png"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert shown.shape == (60, 80, 4)
    assert np.ptp(shown[..., :3], axis=2).max() > 20  # the map's colours
    assert filled.complaints() == [] or all("bad.png" in one for one in filled.complaints())


def test_a_sample_is_called_synthetic_wherever_it_is_shown(tab):
    click(tab, "[data-sample=benign-1]")
    tab.wait(ENDED.format(1))
    assert tab.ask(CHOSEN) == "synthetic benign 1"
    assert "Synthetic: drawn by this program as benign" in text(tab, "#notes")
    assert "Not ultrasound" in text(tab, "#samples")


def test_files_can_be_dropped_anywhere(tab, files):
    tab.drop([files[0], files[3]])
    tab.wait(ENDED.format(2))
    assert tab.ask(CHOSEN) == "one.png"


def test_an_image_can_be_pasted(tab):
    tab.ask("""(async () => {
        const canvas = document.createElement('canvas');
        const blob = await new Promise(done => canvas.toBlob(done));
        const data = new DataTransfer();
        data.items.add(new File([blob], 'pasted.png', {type: 'image/png'}));
        dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}));
    })()""")
    tab.wait(ENDED.format(1))
    assert "probability" in text(tab, "#headline")


def test_an_empty_file_and_too_many_are_told_without_being_sent(tab, tmp_path):
    (tmp_path / "empty.png").touch()
    tab.ask("document.body.dataset.maxImages = 1")
    tab.upload("#files", [tmp_path / "empty.png", tmp_path / "empty.png"])
    tab.wait(ENDED.format(1))
    assert text(tab, "#wrong") == "empty.png is empty; expected an image"
    assert text(tab, "#status") == "1 left out: at most 1 images"
    assert not [url for url in tab.requested() if "/look" in url]


def test_mask_and_answer_can_be_kept(filled):
    kept = "document.querySelector('#{}')"
    assert filled.ask(f"{kept.format('mask')}.download") == "one_mask.png"
    assert filled.ask(f"{kept.format('mask')}.href").startswith("data:image/png;base64,")
    assert filled.ask(f"{kept.format('row')}.download") == "one.json"
    row = filled.ask(f"fetch({kept.format('row')}.href).then(r => 0, e => 1)")
    assert row == 1  # even a data: address is fetched by nobody under the page's policy
    assert '"decision"' in filled.ask(f"decodeURIComponent({kept.format('row')}.href)")


def test_the_card_is_a_click_away_and_leaves_the_images_where_they_are(filled, address):
    click(filled, "#card")
    opened = None
    while opened is None:
        targets = filled.call("Target.getTargets")["targetInfos"]
        opened = next((t for t in targets if t["url"] == f"{address}/card"), None)
    filled.call("Target.closeTarget", targetId=opened["targetId"])
    assert filled.ask(ENDED.format(4))
    filled.open(opened["url"])
    for width in (320, 1280):
        filled.size(width)
        assert text(filled, "h1") == "The card"
        assert filled.ask(WIDER) == []
    click(filled, "nav a")
    filled.wait("document.querySelector('#files') !== null")


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(filled, width):
    filled.ask("document.querySelector('[data-sample=malignant-1]').click()")
    filled.wait(ENDED.format(5))
    filled.size(width)
    for key in ("Home", "End"):
        filled.ask("document.querySelector('#list [aria-selected=true]').focus()")
        filled.press(key)
        assert filled.ask(WIDER) == []
        assert filled.ask("document.documentElement.scrollWidth") == width


def test_no_other_host_is_asked_and_nothing_complains(filled, address):
    filled.ask("document.querySelector('[data-sample=malignant-1]').click()")
    filled.wait(ENDED.format(5))
    assert {url.split(":")[0] for url in filled.requested()} <= {"http", "data"}
    http = [url for url in filled.requested() if url.startswith("http")]
    assert http
    assert all(url.startswith(address) for url in http)
    refused = [told for told in filled.complaints() if "/look?name=bad.png" not in told]
    assert refused == []


def test_a_complaint_and_another_host_would_be_seen(tab):
    tab.ask("document.body.append(Object.assign(new Image(), {src: 'https://localhost:9/x.png'}))")
    tab.wait("document.images.length > 8")
    assert any("Content Security Policy" in told for told in tab.complaints())


def test_every_control_has_a_name_and_can_be_reached(filled):
    nameless = (
        "[...document.querySelectorAll('input, button, a, summary, [role=option]')].filter(e => "
        "e.getClientRects().length && !(e.labels?.length || e.innerText.trim())).length"
    )
    assert filled.ask(nameless) == 0
    reached = set()
    filled.ask("document.activeElement.blur()")
    for _ in range(40):
        filled.press("Tab")
        reached.add(filled.ask("document.activeElement.id || document.activeElement.tagName"))
        outline = "getComputedStyle(document.activeElement.id === 'files' ? "
        outline += (
            "document.activeElement.nextElementSibling : document.activeElement).outlineWidth"
        )
        if filled.ask("document.activeElement !== document.body"):
            assert filled.ask(outline) == "3px"
    known = {"card", "files", "image-1", "clear", "remove", "outline", "opacity", "keep", "mask"}
    assert known <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_from_what_is_behind_them(filled, scheme):
    """WCAG 2.2, 1.4.3: contrast of 4.5 at least (https://www.w3.org/TR/WCAG22/#contrast-minimum)."""
    filled.prefer(prefers_color_scheme=scheme)
    found = filled.ask("""(() => {
        const shades = (e, what) => getComputedStyle(e)[what].match(/[\\d.]+/g).map(Number);
        const behind = e => { for (; e; e = e.parentElement) {
            const s = shades(e, 'backgroundColor'); if (s.length < 4 || s[3] > 0) return s; } };
        return [...document.querySelectorAll('body *')].filter(e => e.getClientRects().length &&
            [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            .map(e => [e.outerHTML.slice(0, 60), shades(e, 'color'), behind(e)]);
    })()""")
    assert len(found) > 40
    assert [what for what, ink, paper in found if contrast(ink[:3], paper[:3]) < 4.5] == []


def contrast(one, other) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(shade) -> float:
    parts = [c / 255 for c in shade]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_contrast_is_that_of_the_standard():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


def test_nothing_moves_for_who_wants_no_motion(tab):
    busy = "getComputedStyle(document.querySelector('#list .busy .thumb')).animationName"
    item = "<li class=busy><div class=thumb></div></li>"
    tab.ask(f"document.querySelector('#list').innerHTML = '{item}'")
    assert tab.ask(busy) == "busy"
    tab.prefer(prefers_reduced_motion="reduce")
    assert tab.ask(busy) == "none"


def test_a_program_that_ended_is_told_of(chromium, address, files, tmp_path):
    """Not this module's program: one that is stopped while the page is open."""
    space = make_repository(tmp_path / "repository")
    app = build_demo(ModelSlot(load_folder(space.model)), lambda _: "")
    with serving(app) as other:
        chromium.size(1280)
        chromium.open(other)
    chromium.upload("#files", files[:1])
    chromium.wait(ENDED.format(1))
    assert "is `hgmnet demo` still running?" in text(chromium, "#wrong")


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_of_the_api_fits_and_needs_no_other_host(chromium, tmp_path, width):
    space = make_repository(tmp_path / "repository")
    with serving(build_app(ModelSlot(load_folder(space.model)))) as api:
        chromium.size(width)
        chromium.heard.clear()
        chromium.open(f"{api}/docs")
        assert "lesion_area_mm2" in text(chromium, "body")
        assert chromium.ask(WIDER) == []
        assert all(url.startswith(api) for url in chromium.requested() if url.startswith("http"))
        assert chromium.complaints() == []
