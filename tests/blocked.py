"""Python processes in which some packages can't be imported, as on a machine without them."""

import subprocess
import sys

_START = """
import runpy, sys
blocked = set(sys.argv[1].split(","))

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, *more):
        hidden = name.partition(".")[0] in blocked
        return None if hidden else self.finder.find_spec(name, *more)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
del sys.argv[:2]
run = runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module
run(sys.argv[0], run_name="__main__", **({} if run is runpy.run_path else {"alter_sys": True}))
"""


def run_without(packages, words, cwd):
    """`python WORDS`, a script or a module first, where these packages do not exist."""
    command = [sys.executable, "-c", _START, ",".join(packages), *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
