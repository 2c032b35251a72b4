"""A process that has imported what the project imports, and forks for each request of client.py.

Usage: `REAL -P server.py FOLDER MODULES...`, its stdin a socket that listens. It passes a caller's
signals on to its fork, ends the fork when the caller ends, and replies with the fork's exit status.
"""

import array
import atexit
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import io
import marshal
import os
import random
import resource
import runpy
import select
import signal
import socket
import sys
import threading
import time
import types
import weakref
from contextlib import suppress
from multiprocessing import spawn

OURS = ("hgmnet", "pipelines")


def main(folder, modules):
    """Answer requests; return in the fork, with what it is to run."""
    _end_with_parent(signal.SIGTERM)
    line = socket.socket(fileno=os.dup(0))
    gc.disable()  # there's nothing to collect in what imports make
    for name in modules:
        if name.startswith(OURS) and "coverage" in sys.modules:
            continue  # their lines are to be seen in the forks
        with suppress(ImportError):
            importlib.import_module(name)
    _spare_forks()
    sys.meta_path.insert(0, Unread())
    gc.freeze()
    gc.set_threshold(100_000)
    gc.enable()
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    callers = {}  # a fork's process id by the line to its caller
    while True:
        ready, _, _ = select.select([line, heard, *callers], [], [])
        for caller in callers.keys() & set(ready):
            _pass_on(caller, callers)
        if heard in ready:
            os.read(heard, 64)
            _answer(callers)
        if line in ready and (request := _forked(line, callers)):
            _forget([line, *callers], [heard, tell])
            return _become(folder, *request)


def _spare_forks():
    """Leave out of a fork's end what is about the imports alone; it took half of a short fork."""
    for one in list(weakref.finalize._registry.values()):
        one.atexit = False
    if dynamo := sys.modules.get("torch._dynamo.utils"):
        atexit.unregister(dynamo.dump_compile_times)


def _end_with_parent(number):
    """Have the kernel send a signal when the parent dies: test run to server, server to fork."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def _forked(line, callers):
    """Accept a request and fork: returns the request in the fork, None in the server."""
    caller, _ = line.accept()
    request, files = _read(caller)
    child = os.fork()
    if child == 0:
        caller.close()
        return request, files
    for descriptor in files:
        os.close(descriptor)
    callers[caller] = child
    return None


def _forget(sockets, descriptors):
    """In the fork, close what belongs to the server."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for opened in sockets:
        opened.close()
    for descriptor in descriptors:
        os.close(descriptor)


def _read(caller):
    """A request, and the caller's descriptors."""
    head, ancillary, _, _ = caller.recvmsg(4, socket.CMSG_SPACE(253 * array.array("i").itemsize))
    files = array.array("i")
    files.frombytes(ancillary[0][2])
    size, text = int.from_bytes(head, "big"), b""
    while len(text) < size:
        text += caller.recv(size - len(text))
    return marshal.loads(text), files  # noqa: S302 - our own client


def _pass_on(caller, callers):
    """Pass on the signals that a caller received; where the caller is gone, kill its fork."""
    numbers = b""
    with suppress(ConnectionError):
        numbers = caller.recv(16)
    for number in numbers or (signal.SIGKILL,):
        _signal(callers[caller], number)
    if not numbers:
        del callers[caller]
        caller.close()


def _answer(callers):
    """Send each fork that has ended its exit status to its caller."""
    waiting = {child: caller for caller, child in callers.items()}
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if caller := waiting.get(ended[0]):
                status = os.waitstatus_to_exitcode(ended[1])
                with suppress(OSError):
                    caller.sendall(status.to_bytes(4, "big", signed=True))
                del callers[caller]
                caller.close()


def _signal(child, number):
    """To the fork and its group; the fork alone if it has just begun."""
    try:
        os.killpg(child, number)
    except ProcessLookupError:
        with suppress(ProcessLookupError):
            os.kill(child, number)


def _become(folder, request, files):
    """Take over what a process inherits from its parent."""
    _end_with_parent(signal.SIGKILL)
    os.setsid()
    above = max(*request["files"], *files) + 1
    moved = []
    for descriptor in files:
        moved.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above))
        os.close(descriptor)
    for number, descriptor in zip(request["files"], moved, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    for kind, soft, hard in request["limits"]:
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    time.tzset()
    random.seed()
    sys.modules["numpy"].random.seed()
    sys.executable = os.path.join(folder, "bin", "python")
    spawn.set_executable(sys.executable)
    _open_streams()
    return request["words"]


class Unread:
    """Prefect reads its settings when it's imported: so, when it is, it reads them again."""

    def __init__(self):
        names = [name for name in sys.modules if name.partition(".")[0] == "prefect"]
        self._modules = {name: sys.modules.pop(name) for name in names}

    def find_spec(self, name, *_):
        if name not in self._modules:
            return None
        sys.meta_path.remove(self)
        sys.modules.update(self._modules)
        sys.modules["prefect.context"].refresh_global_settings_context()
        self._spec = sys.modules[name].__spec__
        return importlib.util.spec_from_loader(name, self, origin=self._spec.origin)

    def create_module(self, spec):
        return self._modules[spec.name]

    def exec_module(self, module):
        module.__spec__ = self._spec


def _open_streams():
    """Replace the streams: theirs hold what was read and written, and settings, before the fork."""
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(open(0, "rb", closefd=False))
    for descriptor, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        raw = open(descriptor, "wb", buffering=0, closefd=False)
        stream = io.TextIOWrapper(
            raw if unbuffered else io.BufferedWriter(raw),
            errors=errors,
            line_buffering=name == "stderr" or raw.isatty(),
            write_through=unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _run(words):
    if words[:2] == ["-P", "-c"]:
        words = words[1:]
    if words == ["-"]:
        words = ["-", sys.stdin.read()]
    kind, name, *rest = words if words[0].startswith("-") else ["", *words]
    here, beside = [os.getcwd()], [os.path.dirname(os.path.abspath(name))]
    first = {"-m": here, "-": here, "": beside}.get(kind, [])
    added = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path[:0] = [*first, *added]
    if kind != "-m" or _has_other_code():
        for module in [module for module in sys.modules if module.startswith(OURS)]:
            del sys.modules[module]
    sys.argv = [name, *rest]
    if kind in ("-u", "-c", "-"):  # execnet's line, multiprocessing's, or what came by stdin
        code, *more = rest if kind == "-u" else (name, *rest)
        sys.argv = ["-" if kind == "-" else "-c", *more]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(code, sys.modules["__main__"].__dict__)  # noqa: S102
    elif kind == "-m":
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(name, run_name="__main__")


def _has_other_code():
    """Whether this fork finds the project elsewhere than the server did."""
    known = [sys.modules[name].__file__ for name in OURS if name in sys.modules]
    for folder in sys.path:
        files = [os.path.join(folder, name, "__init__.py") for name in OURS]
        if found := [os.path.realpath(file) for file in files if os.path.exists(file)]:
            return found != [os.path.realpath(file) for file in known]
    return True


def _end(run, *words):
    """End as the interpreter does, but skip C++ destructors: they wait for threads not forked."""
    status = 0
    try:
        run(*words)
    except SystemExit as end:
        status = end.code
        if status is None or isinstance(status, int):
            status = status or 0
        else:
            print(status, file=sys.stderr)
            status = 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


if __name__ == "__main__":
    _end(_run, main(sys.argv[1], sys.argv[2:]))
