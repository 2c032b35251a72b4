"""Python processes in which some packages can't be imported, as on a machine without them."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

HIDING = """
class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, *more):
        hidden = name.partition(".")[0] in blocked
        return None if hidden else self.finder.find_spec(name, *more)
"""
"""A finder of modules that does not find those in the list `blocked`."""
_START = """
import atexit, gc, importlib, json, os, runpy, sys, threading, traceback
blocked, preloaded = map(json.loads, sys.argv[1:])
gc.set_threshold(100_000)  # an export makes millions of objects

{HIDING}
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
for name in preloaded:
    importlib.import_module(name)
gc.freeze()
while asked := sys.stdin.readline():
    child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    os._exit(0)
also, words, cwd, *files = json.loads(asked)
blocked += also
known = sorted({name.partition(".")[0] for name in sys.modules} & set(blocked))
assert not known, f"{known} can't be blocked: what was preloaded has imported it"
for number, name in enumerate((os.devnull, *files)):
    os.dup2(os.open(name, os.O_RDWR), number)
os.chdir(cwd)
sys.argv[:] = words
status = 0
try:
    if words[0].endswith(".py"):
        runpy.run_path(words[0], run_name="__main__")
    else:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    status = end.code or 0
except BaseException:
    traceback.print_exc()
    status = 1
threading._shutdown()
atexit._run_exitfuncs()
if isinstance(status, str):
    print(status, file=sys.stderr)
    status = 1
for stream in (sys.stdout, sys.stderr):
    stream.flush()
os._exit(status)  # to take all apart first would cost seconds
""".replace("{HIDING}", HIDING)


@contextmanager
def without(packages, preloaded=()):
    """Runs commands where these packages do not exist, forks of one process.

    Gives `run(words, cwd, also=())`: `python WORDS`, a script or a module first. `also` are further
    packages that do not exist for that command; none of `preloaded` may import one.
    """
    command = [sys.executable, "-c", _START, json.dumps([*packages]), json.dumps([*preloaded])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, **pipes) as parent,
    ):
        files = [Path(folder) / name for name in ("out", "err")]

        def run(words, cwd, also=()):
            for file in files:
                file.write_text("")
            words = [*map(str, words)]
            asked = json.dumps([[*also], words, os.fspath(cwd), *map(str, files)])
            print(asked, file=parent.stdin)
            answer = parent.stdout.readline()
            assert answer, "it has ended: what it preloads can't be imported"
            return subprocess.CompletedProcess(
                words, int(answer), *(file.read_text(encoding="utf-8") for file in files)
            )

        yield run
        parent.stdin.close()


def run_without(packages, words, cwd):
    """One command alone."""
    with without(packages) as run:
        return run(words, cwd)
