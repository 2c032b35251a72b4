"""Makes the program `python` of this package, and starts and ends the server behind it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.imports import PACKAGES, imported, modules
from tests.warm import client

HERE = Path(__file__).parent
VARIABLE = "HGMNET_TEST_PYTHON"
"""Its folder, for the processes of a test run; `real` for none."""
_ALSO = (
    "dvc.cli",
    "dvc.commands.add",
    "dvc.commands.repro",
    "dvc.repo.reproduce",
    "dvc.stage.run",
    "dvc.stage.cache",
    "dvc.testing",
)


_started: list["subprocess.Popen[bytes]"] = []


def make() -> None:
    """Make the folder and its program, for this process and its children."""
    if VARIABLE in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    (folder / "real").write_text(sys.executable)
    programs = folder / "bin"
    programs.mkdir()
    words = (sys.executable, "-IS", str(HERE / "client.py"), str(folder))
    for name, more in (("python", ()), ("dvc", ("-m", "dvc")), ("hgmnet", ("-m", "pipelines"))):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join([*words, *more])} "$@"\n')
        program.chmod(0o755)
    for program in Path(sys.executable).parent.iterdir():
        if not (programs / program.name).exists():
            (programs / program.name).symlink_to(program)
    os.environ[VARIABLE] = str(folder)


def use() -> None:
    """Have this process know that program as its interpreter."""
    if folder := _folder():
        sys.executable = str(folder / "bin" / "python")


def start() -> None:
    """Start the server, once; its forks answer as soon as it has imported everything."""
    folder = _folder()
    if folder is None or _started:
        return
    used = {name for file in modules().values() for name in imported(file)}
    known = {*PACKAGES, *sys.stdlib_module_names}
    preloaded = sorted(name for name in used if name.partition(".")[0] not in known)
    (folder / "same").write_text(json.dumps(client.same(dict(os.environ))))
    with (folder / "log").open("wb") as log:
        _started.append(
            subprocess.Popen(
                [(folder / "real").read_text(), "-P", HERE / "server.py", folder]
                + [*preloaded, *_ALSO],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},  # a quicker fork
                start_new_session=True,
            )
        )


def end() -> None:
    """End the server, and remove the folder."""
    for process in _started:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    if folder := _folder():
        shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path | None:
    named = os.environ.get(VARIABLE, "real")
    return None if named == "real" else Path(named)
