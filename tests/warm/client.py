"""`python WORDS` for tests: asks the server for a fork that runs them, else is the real Python.

Usage: `REAL -IS client.py FOLDER WORDS...`; FOLDER holds `real` (a link), `socket` and `same`.
"""

import _signal as signal  # it and _socket alone: what Python puts around them, and json, would
import _socket as socket  # take twice as long to import as this program has to do
import marshal
import os
import resource
import sys

FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1)
MODULES = ("pipelines", "dvc", "mlflow", "uvicorn", "torch.distributed.run", "prefect")
MODULES += ("prefect.engine", "prefect.flow_engine")
MODULES += ("prefect.runner._workspace_supervisor", "prefect.runner._workspace_resolver")
"""Not pipelines.__main__, a training's second process: it ends when its parent is another."""
WORKER = ["-u", "-c", "import sys;exec(eval(sys.stdin.readline()))"]
"""How pytest-xdist starts a worker."""
POOL = ("from multiprocessing.spawn ", "from multiprocessing.forkserver ")
"""How the code begins with which multiprocessing starts a process."""
LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
KNOWN = {"PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONPATH", "PYTHONUNBUFFERED"}
"""Of the interpreter's variables, those that the server honours; its forks hash alike anyway."""
READ_AT_IMPORT = ("HF_", "LANG", "LC_", "MKL_NUM", "OMP_NUM")


def same(environment):
    """Of an environment, what a fork can't change any more."""
    return {k: v for k, v in environment.items() if k.startswith(READ_AT_IMPORT)}


def main(folder, words):
    if words[:2] == ["-u", "-m"]:
        words, os.environ["PYTHONUNBUFFERED"] = words[1:], "1"
    files = [0, 1, 2, *_further()]
    line = _connected(folder) if _can_fork(folder, words) else None
    if line is None:
        with open(os.path.join(folder, "real")) as file:
            real = file.read()
        os.execv(real, [real, *words])
    for number in FORWARDED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: line.send(bytes([number])))
    _ask(line, words, files)
    files.remove(2)
    for descriptor in files:  # whoever reads from us shall see the end when the fork ends
        os.close(descriptor)
    _end(_status(line))


def _connected(folder):
    """A line to the server; None if it has ended."""
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(os.path.join(folder, "socket"))
    except OSError:
        return None
    return line


def _further():
    """The descriptors that this process has inherited, besides the first three."""
    found = []
    for number in range(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 256)):
        try:
            if os.get_inheritable(number):
                found.append(number)
        except OSError:  # not open
            continue
    return found


def _ask(line, words, files):
    """Send all that a process inherits."""
    request = {
        "words": words,
        "files": files,
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "umask": os.umask(0o22),
        "limits": [[kind, *resource.getrlimit(kind)] for kind in LIMITS],
        "ignored": [n for n in FORWARDED if signal.getsignal(n) == signal.SIG_IGN],
    }
    text = marshal.dumps(request)
    sent = b"".join(number.to_bytes(4, sys.byteorder) for number in files)
    line.sendmsg([len(text).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sent)])
    line.sendall(text)


def _status(line):
    """The fork's, negative for a signal; a server that has gone took it along."""
    answer = b""
    while len(answer) < 4:
        part = line.recv(4)
        if not part:
            return -signal.SIGKILL
        answer += part
    return int.from_bytes(answer, "big", signed=True)


def _end(status):
    """End as the fork did."""
    if status >= 0:
        os._exit(status)
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)


def _can_fork(folder, words):
    """Whether a fork can stand in for the interpreter; where it nearly can, the log has why not."""
    module = len(words) > 1 and words[0] == "-m" and words[1] in MODULES
    script = next((word for word in words[:2] if word != "-P"), "").endswith(".py")
    pool = "-c" in words[:2] and words[words.index("-c") + 1].startswith(POOL)
    if not (module or script or pool or words in (WORKER, ["-"])):
        return False
    try:
        with open(os.path.join(folder, "same"), "rb") as file:
            known = marshal.load(file)  # noqa: S302 - our own
    except OSError:  # nobody has started the server
        return False
    odd = {k for k in os.environ if k.startswith("PYTHON") and k != "PYTHON"} - KNOWN
    odd |= {k for k, _ in known.items() ^ same(os.environ).items()}
    if odd:
        with open(os.path.join(folder, "log"), "a") as log:
            log.write(f"not forked, for {sorted(odd)}: {words}\n")
    return not odd


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
