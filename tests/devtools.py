"""A headless Chromium driven by the DevTools protocol, as a person drives one."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium")
_QUIET = (
    *(
        "--headless",
        "--no-sandbox",
        "--hide-scrollbars",
        "--disable-gpu",
        "--disable-quic",
        "--disable-sync",
    ),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
)
WIDER = (
    "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > "
    "innerWidth + 1 && getComputedStyle(e).clipPath === 'none' && !e.closest('thead')"
    ").map(e => e.outerHTML.slice(0, 80))"
)
"""What is wider than the window."""
_KEYS = {
    "Tab": 9,
    " ": 32,
    "End": 35,
    "Home": 36,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Delete": 46,
}
_PATIENCE_S = 60


class Tab:
    """One page; `heard` are the events that came, by method."""

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._number = 0
        self.heard: list[tuple[str, dict]] = []
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params) -> dict:
        """Send a command and wait for its answer."""
        self._number += 1
        self._line.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            said = json.loads(self._line.recv(timeout=_PATIENCE_S))
            if said.get("id") == self._number:
                assert "error" not in said, (method, said["error"])
                return said["result"]
            if "method" in said:
                self.heard.append((said["method"], said["params"]))

    def ask(self, expression: str):
        """What an expression is worth in the page."""
        done = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, expression: str):
        """Until an expression is true; its worth."""
        until = time.monotonic() + _PATIENCE_S
        while not (found := self.ask(expression)):
            assert time.monotonic() < until, f"never true: {expression}"
            time.sleep(0.05)
        return found

    def open(self, address: str) -> None:
        """Go to a page and wait until it is there."""
        self.call("Page.navigate", url=address)
        self.wait(f"location.href.startsWith({address!r}) && document.readyState === 'complete'")

    def size(self, width: int, height: int = 900) -> None:
        """Lay the page out at a width, px; below 600 as on a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, **features: str) -> None:
        """As a person's settings say: `prefers_color_scheme="dark"`."""
        told = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.call("Emulation.setEmulatedMedia", features=told)

    def upload(self, selector: str, files: Sequence[Path]) -> None:
        """Choose files in a file input, as its dialog would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def drop(self, files: Sequence[Path]) -> None:
        """Drag files into the middle of the page and let them go."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=300, y=300, data=data)

    def press(self, key: str) -> None:
        """A key, down and up."""
        told = {"key": key, "code": "Space" if key == " " else key}
        told["windowsVirtualKeyCode"] = _KEYS[key]
        text = {"text": " "} if key == " " else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **told, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def picture(self, *, whole: bool = False) -> bytes:
        """What is seen, a PNG; the whole page or the window."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])

    def complaints(self) -> list[str]:
        """What the console says, and what broke."""
        self.ask("0")  # what was under way has come now
        loud = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [json.dumps(told) for method, told in self.heard if method in loud]

    def requested(self) -> list[str]:
        """Every address that was asked for."""
        self.ask("0")
        asked = [told for method, told in self.heard if method == "Network.requestWillBeSent"]
        return [told["request"]["url"] for told in asked]


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser of its own, ended afterwards."""
    command = [CHROMIUM, *_QUIET, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "about:blank"], **quiet, start_new_session=True) as process:
        try:
            with connect(_address(profile), max_size=None) as line:
                yield Tab(line)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _address(profile: Path) -> str:
    """The page's own socket, once the browser listens."""
    file = profile / "DevToolsActivePort"
    until = time.monotonic() + _PATIENCE_S
    while not (file.exists() and file.read_text().count("\n")):
        assert time.monotonic() < until, "chromium does not answer"
        time.sleep(0.05)
    port = file.read_text().splitlines()[0]
    pages = httpx.get(f"http://127.0.0.1:{port}/json/list").json()
    return next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
