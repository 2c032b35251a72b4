"""Fail unless all that .venv imports was installed by its own uv, into it."""

import importlib.metadata
import site
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"


def main() -> None:
    """Print each package or folder from elsewhere, and end with status 1 if there is any."""
    stdlib = {Path(path) for path in sys.path if Path(path).is_relative_to(sys.base_prefix)}
    faults = [
        f"on sys.path: {path}"
        for path in map(Path, sys.path)
        if path.is_absolute()  # else a finder's own mark
        and not path.is_relative_to(ROOT)
        and (path not in stdlib or "site-packages" in path.parts)
    ]
    for package in importlib.metadata.distributions():
        name, installer = package.metadata["Name"], (package.read_text("INSTALLER") or "").strip()
        place = Path(str(package.locate_file("")))
        if not place.is_relative_to(ROOT):
            faults.append(f"{name} is in {place}")
        elif installer != "uv" and name not in {"pip", "setuptools", "uv"}:  # these begin it
            faults.append(f"{name} was installed by {installer or 'nobody known'}")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = next(line.split()[0] for line in lock if line.startswith("uv=="))
    uv = subprocess.run([VENV / "bin/uv", "--version"], capture_output=True, text=True, check=True)
    if uv.stdout.split()[1] != pinned.removeprefix("uv=="):
        faults.append(f"uv is {uv.stdout.strip()}, requirements.lock says {pinned}")
    if site.ENABLE_USER_SITE:
        faults.append("the user's site-packages are visible")
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
