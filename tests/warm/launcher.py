"""Makes the program `python` of this package, and starts and ends the server behind it."""

import marshal
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from multiprocessing import spawn
from pathlib import Path

from tests.imports import PACKAGES, imported, modules, reached, within
from tests.warm import client

HERE = Path(__file__).parent
RUN = "HGMNET_TEST_RUN"
"""Names the folder of what the processes of a test run share, that program among it."""
REAL = os.environ.get("HGMNET_TEST_PYTHON") == "real"
_ALSO = """
alembic.command git mlflow.models.display_utils mlflow.tracing.processor.otel
mlflow.store.model_registry.sqlalchemy_workspace_store
mlflow.store.tracking.sqlalchemy_workspace_store
dvc.cachemgr dvc.cli dvc.cli.command dvc.cli.parser dvc.data_cloud dvc.lock dvc.render.convert
dvc.repo.artifacts dvc.repo.datasets dvc.repo.experiments.show dvc.repo.index dvc.repo.init
dvc.repo.metrics.show dvc.repo.plots dvc.repo.reproduce dvc.rwlock dvc.scm dvc.stage.run
dvc.utils.strictyaml dvc_data.index.push pyarrow.pandas_compat
PIL.BmpImagePlugin PIL.GifImagePlugin PIL.JpegImagePlugin PIL.PpmImagePlugin
"""
"""What commands import that the project only names."""

_started: list["subprocess.Popen[bytes]"] = []


def make() -> None:
    """Make the folder and its program, for this process and its children."""
    folder = Path(tempfile.mkdtemp(prefix="hgmnet-tests-"))
    os.environ[RUN] = str(folder)
    (folder / "real").write_text(sys.executable)
    programs = folder / "bin"
    programs.mkdir()
    words = (sys.executable, "-IS", str(HERE / "client.py"), str(folder))
    same = ("dvc", "mlflow", "uvicorn")
    commands = {"python": "", "hgmnet": "pipelines"} | {name: name for name in same}
    for name, module in commands.items():
        program, more = programs / name, ["-m", module] if module else []
        program.write_text(f'#!/bin/sh\nexec {shlex.join([*words, *more])} "$@"\n')
        program.chmod(0o755)
    for program in Path(sys.executable).parent.iterdir():
        if not (programs / program.name).exists():
            (programs / program.name).symlink_to(program)


def use() -> None:
    """Have this process know that program as its interpreter."""
    if not REAL:
        sys.executable = str(run_folder() / "bin" / "python")
        spawn.set_executable(sys.executable)


def start() -> None:
    """Start the server, once; its forks answer as soon as it has imported everything."""
    folder = run_folder()
    if REAL or _started:
        return
    used = {name for file in modules().values() for name in imported(file)}
    known = {*PACKAGES, *sys.stdlib_module_names}
    ours = {n for n in reached("pipelines.cli.main") if not within(n, "pipelines.flows")}
    others = {name for name in used if name.partition(".")[0] not in known}
    preloaded = [*sorted(others), *_ALSO.split(), *sorted(ours)]
    (folder / "same").write_bytes(marshal.dumps(client.same(dict(os.environ))))
    with (folder / "log").open("wb") as log, socket.socket(socket.AF_UNIX) as line:
        line.bind(str(folder / "socket"))
        line.listen(64)  # from now on whoever asks is answered, when all is imported
        _started.append(
            subprocess.Popen(
                [real_python(), "-P", HERE / "server.py", folder, *preloaded],
                stdin=line.fileno(),
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
    shutil.rmtree(run_folder(), ignore_errors=True)


def real_python() -> str:
    """The interpreter that runs this."""
    return (run_folder() / "real").read_text()


def run_folder() -> Path:
    """The folder of this test run."""
    return Path(os.environ[RUN])
