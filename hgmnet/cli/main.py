"""Common parts of all commands: list with groups, help, errors, exit statuses.

In a checkout of the repository `pipelines.cli.main` adds its own commands. Slow imports are inside
the commands that need them, so that `--help` answers at once.
"""

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hgmnet.errors import HgmnetError, RejectedError, hide_credentials

SHELLS = ("bash", "zsh", "tcsh")


@dataclass(frozen=True)
class Commands:
    """The commands of a program.

    `does`: one line per command, by name. `groups`: names by heading, in the order of the list.
    `examples`: command lines without `hgmnet`. `modules`: where `configure_<name>` and `run_<name>`
    are defined; a module is imported when one of its commands runs.
    """

    does: Mapping[str, str]
    groups: Mapping[str, tuple[str, ...]]
    examples: Mapping[str, str]
    modules: Mapping[str, str]


DOES = {
    "predict": "predict images: masks, overlays, one row per image",
    "export": "write a model as one ONNX file, compared with the model first",
    "serve": "serve predictions over HTTP",
    "demo": "open a demo page for the model, on this machine",
    "score": "evaluate another method's masks and probabilities, with intervals",
    "log": "verify the log of served answers",
    "score-served": "evaluate served answers, once their labels are known",
}
EXAMPLES = {
    "predict": "predict scans/ --out predictions --model model/",
    "export": "export --model model/ --out model.onnx",
    "serve": "serve --model model/ --port 8080",
    "demo": "demo --model model/",
    "score": "score --truth data/ --masks masks/ --probabilities probabilities.csv",
    "log": "log --verify served/",
    "score-served": "score-served served/ labels.csv",
}
COMMANDS = Commands(
    DOES,
    {"Predict and serve": tuple(DOES)},
    EXAMPLES,
    dict.fromkeys(DOES, "hgmnet.cli.model")
    | {"score": "hgmnet.cli.score"}
    | dict.fromkeys(("log", "score-served"), "hgmnet.cli.served"),
)
"""Commands that need a model folder but no checkout."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 130 after Ctrl-C, or as in `hgmnet.errors`."""
    if find_spec("pipelines"):
        whole = importlib.import_module("pipelines.cli.main")
        return int(whole.main(argv))
    return run(COMMANDS, sys.argv[1:] if argv is None else list(argv))


def run(
    commands: Commands,
    words: Sequence[str],
    *given: object,
    before: Callable[..., None] = lambda: None,
    version: Callable[[], str] | None = None,
) -> int:
    """Parse the command line, without the program's name, run its command, return the exit status.

    `given`: passed to `run_<name>` before the parsed arguments, and to `before`, called when the
    command line is valid. `version`: returns the text of `--version`; None: the package's.
    """
    hide_credentials()
    if isinstance(sys.stdout, io.TextIOWrapper):  # flush each line, also into a pipe
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    if words[:1] == ["--version"]:
        print((version or _version)())
        return 0
    if words[:1] == ["--print-completion"]:
        return _print_completion(commands, words[1:])
    args = build_parser(commands, words[:1]).parse_args(words)

    def work() -> None:
        before(*given)
        args.run(*given, args)

    return report_errors(work)


def report_errors(work: Callable[[], None]) -> int:
    """Run `work`; a `HgmnetError` becomes one line on stderr and its exit status."""
    try:
        return _status(work)
    except KeyboardInterrupt as end:
        kept = str(end) or "no file is half-written"
        print(f"hgmnet: interrupted; {kept}: type the same command again", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        number = error.errno or 0
        if number in _FULL:
            why = f"{error.filename or Path.cwd()}: the disk is full; make room"
        elif number in _UNFIT and error.filename:
            why = f"{error.filename}: {_UNFIT[number]}"
        else:
            raise
        print(f"hgmnet: Failed: {why}, then the same command again", file=sys.stderr)
        return 1
    except RuntimeError:  # of Path.home(), which libraries call
        if "HOME" in os.environ or os.path.expanduser("~") != "~":  # noqa: PTH111
            raise
        why = "this user has no home folder; set HOME to a folder that can be written"
        print(f"hgmnet: Config: {why}", file=sys.stderr)
        return 2


_FULL = {errno.ENOSPC, errno.EDQUOT}
_UNFIT = {
    errno.EROFS: "the disk is read-only; make it writable",
    errno.EACCES: "permission denied; change its owner or its rights",
    errno.EPERM: "permission denied; change its owner or its rights",
    errno.ENAMETOOLONG: "the name is too long; shorten it",
    errno.ENOTDIR: "a part of it is a file, not a folder; choose another",
    errno.EEXIST: "there is such a file, expected a folder; choose another",
    errno.EISDIR: "it is a folder, expected a file; choose another",
}
"""By error number of the operating system: what is wrong with a path, and what to do."""


def build_parser(commands: Commands, loaded: Sequence[str]) -> argparse.ArgumentParser:
    """Build the parser of the command line.

    Only the modules in `loaded` are imported, for their options; other commands are only listed.
    """
    parser = _GroupedParser(
        prog="hgmnet",
        usage="hgmnet [--help] [--version] [--print-completion SHELL] command ...",
        description="From breast-ultrasound images to a gated, registered HGM-Net.",
        epilog="exit status: 0 done or not judged, 1 a bug, 2 configuration, 3 rejected, 4 data",
    )
    parser.commands = commands
    for name, known in (("--version", None), ("--print-completion", SHELLS)):  # `run` handles these
        parser.add_argument(name, choices=known, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    choices = parser.add_subparsers(
        prog="hgmnet", metavar="command", required=True, parser_class=argparse.ArgumentParser
    )
    for name, does in commands.does.items():
        command = choices.add_parser(
            name,
            help=does,
            description=does,
            epilog=f"example:\n  hgmnet {commands.examples[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in loaded:
            module = importlib.import_module(commands.modules[name])
            function = name.replace("-", "_")
            getattr(module, f"configure_{function}")(command)
            command.set_defaults(run=getattr(module, f"run_{function}"))
    return parser


class _GroupedParser(argparse.ArgumentParser):
    """Lists the commands under the headings of their groups."""

    commands: Commands

    def format_help(self) -> str:
        lines = [f"usage: {self.usage}", "", self.description or ""]
        width = max(map(len, self.commands.does))
        for heading, names in self.commands.groups.items():
            lines += ["", f"{heading}:"]
            lines += [f"  {name:<{width}}  {self.commands.does[name]}" for name in names]
        more = "hgmnet COMMAND --help shows a command's options and an example"
        return "\n".join([*lines, "", more, self.epilog or "", ""])


def _status(work: Callable[[], None]) -> int:
    try:
        work()
    except RejectedError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except HgmnetError as error:
        kind = type(error).__name__.removesuffix("Error").replace("Hgmnet", "Failed")
        print(f"hgmnet: {kind}: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _version() -> str:
    from importlib.metadata import version

    return f"hgmnet {version('hgmnet')}"


def _print_completion(commands: Commands, words: Sequence[str]) -> int:
    """Print a shell's completion script: `eval "$(hgmnet --print-completion bash)"`."""
    if list(words) not in [[shell] for shell in SHELLS]:
        print(f"hgmnet: Config: expected one of {', '.join(SHELLS)}", file=sys.stderr)
        return 2
    if not find_spec("shtab"):
        print("hgmnet: Config: completion needs shtab: pip install shtab", file=sys.stderr)
        return 2
    import shtab

    print(shtab.complete(build_parser(commands, list(commands.does)), shell=words[0]))
    return 0
