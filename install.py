"""Make .venv and install requirements.lock into it: `python3 install.py`; `make` calls it too.

It needs nothing but the Python that runs it. That Python's own pip, of whatever age, installs one
package, the uv that requirements.lock pins, by its hash; this uv installs the rest. A uv on the
PATH, or packages installed elsewhere, take no part.
"""

import importlib.util
import os
import shlex
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON, UV = VENV / "bin" / "python", VENV / "bin" / "uv"
LOCK = ROOT / "requirements.lock"
DONE = VENV / ".installed"
"""Make's sign that .venv holds what requirements.lock names."""

NEEDED_GB = 8
FOR_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
}
"""uv doesn't read pip's configuration: what of it a network needs, and its name in uv."""


def main() -> None:
    """Install, or exit with one line that says what is missing."""
    check_python()
    check_room()
    make_environment()
    install_uv()
    print("installing requirements.lock into .venv", flush=True)
    environment = uv_environment()
    target = ("--python", str(PYTHON))
    sync = ("sync", *target, "--require-hashes", "--compile-bytecode", str(LOCK))
    whole = ("--config-setting", "editable_mode=compat")  # pipelines, tests are importable too
    project = ("install", *target, "--no-deps", "--no-build-isolation", *whole, "-e", str(ROOT))
    for words in (sync, project):
        run(str(UV), "pip", *words, "--quiet", env=environment)
    DONE.touch()
    print("installed; `. .venv/bin/activate` puts `hgmnet` and `dvc` on the PATH")


def check_python() -> None:
    """Exit unless this Python is 3.11, 3.12 or 3.13 and can make virtual environments."""
    version = ".".join(map(str, sys.version_info[:2]))
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        sys.exit(
            f"Python 3.11, 3.12 or 3.13 is needed; {sys.executable} is {version}. Name another: "
            "`make PYTHON=python3.12`, or `python3.12 install.py`"
        )
    if not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
        sys.exit(
            f"{sys.executable} can't make virtual environments. Debian and Ubuntu have this in a "
            f"package of its own: `apt install python{version}-venv`"
        )


def check_room() -> None:
    """Exit unless a first installation has room, also in uv's cache where that is elsewhere."""
    if DONE.exists():
        return
    cache = os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home()
    for folder in (ROOT, existing(Path(cache))):
        free = shutil.disk_usage(folder).free / 1e9
        if free < NEEDED_GB:
            sys.exit(f"{NEEDED_GB} GB of disk are needed, {folder} has {free:.1f} GB free")


def existing(folder: Path) -> Path:
    """The folder, or its nearest parent that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def make_environment() -> None:
    """Make .venv, or make it again where its Python is gone or another."""
    ask = "import sys, pip; print(sys.prefix, *sys.version_info[:2])"
    done = subprocess.run(
        [str(PYTHON), "-Ic", ask], capture_output=True, text=True, check=False
    ) if PYTHON.exists() else None  # fmt: skip
    wanted = f"{VENV} {sys.version_info[0]} {sys.version_info[1]}"
    if done is None or done.stdout.strip() != wanted:
        run(sys.executable, "-I", "-m", "venv", "--clear", str(VENV))


def install_uv() -> None:
    """Have pip install the uv that the lock pins, unless it is there."""
    lines = iter(LOCK.read_text(encoding="utf-8").splitlines())
    pin = next(line for line in lines if line.startswith("uv=="))
    version = pin.split()[0].partition("==")[2]
    if UV.exists():
        found = subprocess.run([str(UV), "--version"], capture_output=True, text=True, check=False)
        if found.stdout.split()[1:2] == [version]:
            return
    print(f"installing uv {version}", flush=True)
    hashes = []
    for line in lines:
        if not line.startswith("    --hash="):
            break
        hashes.append(line.strip(" \\"))
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "uv.txt"
        wanted.write_text(" ".join([f"uv=={version}", *hashes]), encoding="utf-8")
        words = ("--require-hashes", "--only-binary", ":all:", "--no-deps", "--quiet")
        run(
            *(str(PYTHON), "-I", "-m", "pip", "install", "--disable-pip-version-check", *words),
            *("-r", str(wanted)),
            env={**os.environ, "PIP_USER": "0"},
        )


def uv_environment() -> "dict[str, str]":
    """This environment, with what pip's configuration says of the network in uv's words."""
    listed = subprocess.run(
        [str(PYTHON), "-I", "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    configured = {}
    for section in ("global.", "install.", ":env:."):  # the later wins
        for line in listed.stdout.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(section) and key[len(section) :] in FOR_UV:
                configured[FOR_UV[key[len(section) :]]] = " ".join(shlex.split(value))
    if any(path and os.path.exists(path) for path in ssl.get_default_verify_paths()[:2]):  # noqa: PTH110
        configured["UV_SYSTEM_CERTS"] = "true"
    dropped = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH"}
    return {**configured, **{k: v for k, v in os.environ.items() if k not in dropped}}


def run(*words: str, env: "dict[str, str] | None" = None) -> None:
    """Run a command, or exit with one line below what it printed."""
    status = subprocess.run(words, env=env, cwd=str(ROOT), check=False).returncode
    if status:
        sys.exit(f"not installed: `{shlex.join(words)}` ended with status {status}")


if __name__ == "__main__":
    main()
