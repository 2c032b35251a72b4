"""The command: users type `hgmnet ...`, dvc.yaml says `python -m pipelines ...`; both are this.

Every import of weight happens inside the command that needs it, so that `--help` answers at once.
"""

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

STAGES = {
    "phantom": "generate the embedded data set of synthetic ultrasound",
    "ingest": "read every image into a manifest and find the copies among them",
    "validate": "check the manifest by Great Expectations' rules",
    "split": "assign new groups to train, val and test; no image moves",
    "prepare": "resample images and masks into arrays",
    "train": "train HGM-Net",
    "calibrate": "choose temperature and thresholds on val",
    "evaluate": "count pixels and classes at native resolution, with intervals",
    "gate": "compare the figures with the bounds",
    "report": "write the HTML report and the model card",
    "register": "record the run in MLflow and register the model if it passed",
}
"""The DVC stages in their order; each is `pipelines/stages/<name>.py`."""

COMMANDS = {
    "import": (
        "data",
        "bring images (a folder, zip, table or URL) in as data/<name>, and `dvc add` them",
    ),
    "drift": ("data", "compare a folder of images with those a model was made from"),
    "resplit": ("data", "assign every image to train, val and test again, with a reason"),
    "plan": ("studies", "propose image side, batch, epochs and precision for this machine"),
    "study": (
        "studies",
        "cross-validation, ablation, leakage, learning curve, external set, seeds",
    ),
    "predict": ("inference", "predict images: masks, overlays, one row per image"),
    "export": ("inference", "write a model as one ONNX file, checked against the model"),
    "serve": ("servers", "answer over HTTP by the champion; a new one takes over by itself"),
    "demo": ("servers", "open a page to look at images with the model, on this machine"),
    "promote": ("registry", "compare the challenger with the champion; the better one serves"),
    "rollback": ("registry", "let an earlier champion serve again"),
    "versions": ("registry", "list the registered versions, or delete one"),
    "compare": ("registry", "compare two versions, or two evaluations, image by image"),
    "lineage": ("registry", "what a version was made from, and the commands that bring it back"),
    "publish": ("registry", "push a version's data, and commit and tag what brings it back"),
    "history": ("registry", "list and verify every decision about who served"),
    "flow": ("flows", "run a Prefect flow here and now: training, promotion, ..."),
    "up": ("servers", "start servers, deployments and a worker; Ctrl-C ends all of it"),
    "clean": ("maintenance", "list what can be removed; --yes removes it"),
    "doctor": ("maintenance", "check this machine and this checkout, and say what to do"),
}
"""The other commands: which file of this folder has `configure_<name>` and `run_<name>`; a line."""

OLD_COMMANDS = {"deal": "resplit", "data": "drift FOLDER"}
OLD_OPTIONS = {
    "flow": {"--force": "--force-stage"},
    "serve": {"--seconds": "--poll-seconds"},
    "study": {"--all": "--include-test", "--n": "--seeds"},
}
"""What was renamed, by command: an error names the new one, for one release."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 130 after Ctrl-C, or what `hgmnet.errors` says."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a line is read when it is written, in a pipe too
        sys.stdout.reconfigure(line_buffering=True)
    words = sys.argv[1:] if argv is None else list(argv)
    if renamed := _renamed(words):
        print(f"hgmnet: Config: {renamed}", file=sys.stderr)
        return 2
    if words[:1] and words[0] in STAGES:  # as older dvc.yaml files have it
        words = ["stage", *words]
    args = _parser(words).parse_args(words)
    try:
        return _run(args)
    except KeyboardInterrupt:
        print("hgmnet: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        full = f"{error.filename or Path.cwd()}: the disk is full"
        print(f"hgmnet: Failed: {full}; make room, then the same command again", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    """The exit status; an error of ours is one line on stderr."""
    from hgmnet.errors import HgmnetError, RejectedError
    from pipelines.operations.run_overrides import restore

    try:
        root = find_root()
        restore(root)
        args.run(root, args)
    except RejectedError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except HgmnetError as error:
        kind = type(error).__name__.removesuffix("Error").replace("Hgmnet", "Failed")
        print(f"hgmnet: {kind}: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def find_root() -> Path:
    """The repository root: the nearest folder at or above the current one with the stages in it.

    Raises:
        ConfigError: there is none.
    """
    from hgmnet.errors import ConfigError

    here = Path.cwd()
    for folder in (here, *here.parents):
        beside = (folder / "params.yaml").exists() or (folder / "data").exists()
        if beside and (folder / "dvc.yaml").is_file():
            return folder
    msg = (
        f"no dvc.yaml with params.yaml or data/ beside it in {here} or above; go to the repository"
    )
    raise ConfigError(msg)


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hgmnet",
        description="From breast-ultrasound images to a gated, registered HGM-Net.",
        epilog="exit status: 0 done or not judged, 1 a bug, 2 configuration, 3 rejected, 4 data",
    )
    commands = parser.add_subparsers(metavar="command", required=True)
    for name, (module, does) in COMMANDS.items():
        command = commands.add_parser(name, help=does, description=does)
        if name in words[:1]:
            loaded = importlib.import_module(f"pipelines.cli.{module}")
            getattr(loaded, f"configure_{name}")(command)
            command.set_defaults(run=getattr(loaded, f"run_{name}"))
    stage = commands.add_parser("stage", help="run one stage of dvc.yaml, as `dvc repro` does")
    stage.add_argument("name", choices=STAGES, metavar="name", help=", ".join(STAGES))
    stage.set_defaults(run=_run_stage)
    return parser


def _renamed(words: list[str]) -> str:
    """What is typed now instead of a name that a command or option had; empty if it is none."""
    if words[:1] == ["report"] and "--compare" in words:
        return "`hgmnet report --compare A B` is now `hgmnet compare A B`"
    if words[:1] and words[0] in OLD_COMMANDS:
        return f"`hgmnet {words[0]}` is now `hgmnet {OLD_COMMANDS[words[0]]}`"
    for option, new in OLD_OPTIONS.get(words[0] if words else "", {}).items():
        if option in words:
            return f"`hgmnet {words[0]} {option}` is now `hgmnet {words[0]} {new}`"
    return ""


def _run_stage(root: Path, args: argparse.Namespace) -> None:
    from pipelines.stages.runner import run_stage

    run_stage(args.name, root)
