"""The command in a checkout: `hgmnet ...`, or `python -m pipelines ...` as in dvc.yaml.

Heavy imports are inside the command that needs them, so that `--help` is fast.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hgmnet.cli import main as anywhere
from hgmnet.cli.main import Commands

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


GROUPS = {
    "Data": ("import", "init", "resplit", "drift", "export-data"),
    "Train": ("plan", "study", "stage"),
    "Registry": (
        "promote",
        "rollback",
        "versions",
        "compare",
        "report",
        "lineage",
        "publish",
        "history",
    ),
    "Predict and serve": ("predict", "export", "serve", "demo", "score", "log", "score-served"),
    "Operate": ("flow", "up", "clean", "doctor"),
}
DOES = {
    "import": "import images (a folder, zip, table or URL) as data/<name>, and `dvc add` them",
    "init": "write params.yaml and a change plan for an imported data set",
    "resplit": "assign every image to train, val and test again, with a reason",
    "drift": "compare a folder of images with a model's training images",
    "export-data": "write the data set with its split for nnU-Net, or as COCO",
    "plan": "propose image side, batch, epochs and precision for this machine",
    "study": "cross-validation, ablation, leakage, learning curve, external set, seeds",
    "stage": "run one stage of dvc.yaml, as `dvc repro` does",
    "promote": "compare the challenger with the champion; the better one serves",
    "rollback": "let an earlier champion serve again",
    "versions": "list the registered versions, or delete one",
    "compare": "compare two versions, or two evaluations, image by image",
    "report": "write the page about a version, for the person who signs",
    "lineage": "show a version's commit, data and settings, and the commands that restore it",
    "publish": "push a version's data, and commit and tag the files that restore it",
    "history": "list and verify every decision about which version served",
    **anywhere.DOES,
    "serve": "serve the champion over HTTP; a new champion is loaded automatically",
    "flow": "run a Prefect flow here and now: training, promotion, ...",
    "up": "start servers, deployments and a worker; Ctrl-C ends all of them",
    "clean": "list what can be removed; --yes removes it",
    "doctor": "check this machine and this checkout, and list what to fix",
}
EXAMPLES = {
    "import": "import busi ~/Downloads/Dataset_BUSI_with_GT",
    "init": "init my-clinic",
    "resplit": 'resplit --reason "patients are known now"',
    "drift": "drift scans/",
    "export-data": "export-data --format nnunet exported/Dataset001_Breast",
    "plan": "plan --minutes 60 --write",
    "study": "study crossval --folds 5 --dry-run",
    "stage": "stage evaluate",
    "promote": "promote --dry-run",
    "rollback": 'rollback --to 3 --reason "misses small lesions"',
    "versions": "versions",
    "compare": "compare champion challenger",
    "report": "report --version 3",
    "lineage": "lineage 3",
    "publish": "publish",
    "history": "history --head 3f2a90",
    "predict": "predict scans/ --out predictions",
    "export": "export --out model.onnx",
    "serve": "serve --port 8080",
    "demo": "demo",
    "log": "log --verify served/",
    "score-served": "score-served served/ labels.csv",
    "score": "score --masks masks/ --probabilities probabilities.csv --name unet --against 3",
    "flow": "flow training --promote",
    "up": "up",
    "clean": "clean --older-than 30",
    "doctor": "doctor",
}
MODULES = {
    **dict.fromkeys(GROUPS["Data"], "pipelines.cli.data"),
    **dict.fromkeys(GROUPS["Train"], "pipelines.cli.studies"),
    **dict.fromkeys(GROUPS["Registry"], "pipelines.cli.registry"),
    **dict.fromkeys(("compare", "report", "lineage", "publish"), "pipelines.cli.version"),
    **dict.fromkeys(GROUPS["Predict and serve"], "pipelines.cli.model"),
    "flow": "pipelines.cli.flows",
    **dict.fromkeys(("up", "clean", "doctor"), "pipelines.cli.maintenance"),
}
COMMANDS = Commands(DOES, GROUPS, EXAMPLES, MODULES)

OLD_COMMANDS = {"deal": "resplit", "data": "drift FOLDER"}
OLD_OPTIONS = {
    "flow": {"--force": "--force-stage"},
    "serve": {"--seconds": "--poll-seconds"},
    "study": {"--all": "--include-test", "--n": "--seeds"},
}
"""Renamed options by command; for one release an error names the new one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, 130 after Ctrl-C, or as in `hgmnet.errors`.

    Outside of a checkout only the commands that need none are available.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if renamed := _renamed(words):
        print(f"hgmnet: Config: {renamed}", file=sys.stderr)
        return 2
    if (
        words[:1] and words[0] in STAGES and words[0] not in DOES
    ):  # `hgmnet train`, as in older dvc.yaml files
        words = ["stage", *words]
    root = find_root()
    if root is None and words[:1] and words[0] in anywhere.DOES:
        return anywhere.run(anywhere.COMMANDS, words, version=lambda: _version(None))
    return anywhere.run(COMMANDS, words, root, version=lambda: _version(root), before=_prepare)


def find_root() -> Path | None:
    """Repository root: the nearest folder with the stages, from the current one upwards."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        beside = (folder / "params.yaml").exists() or (folder / "data").exists()
        if beside and (folder / "dvc.yaml").is_file():
            return folder
    return None


def _prepare(root: Path | None) -> None:
    """Check that there is a checkout, and restore params.yaml after a run that died.

    Raises:
        ConfigError: there is no checkout.
    """
    from hgmnet.errors import ConfigError
    from pipelines.operations.run_overrides import restore

    if root is None:
        raise ConfigError(
            f"no dvc.yaml with params.yaml or data/ beside it in {Path.cwd()} or above; "
            "go to the repository"
        )
    restore(root)


def _version(root: Path | None) -> str:
    """Versions of package and commit, as text."""
    from importlib.metadata import version

    git = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return f"hgmnet {version('hgmnet')}" + (f", commit {commit}" if root and commit else "")


def _renamed(words: list[str]) -> str:
    """Return a message with the new name of a renamed command or option; empty if none."""
    if words[:1] == ["report"] and "--compare" in words:
        return "`hgmnet report --compare A B` is now `hgmnet compare A B`"
    if words[:1] and words[0] in OLD_COMMANDS:
        return f"`hgmnet {words[0]}` is now `hgmnet {OLD_COMMANDS[words[0]]}`"
    for option, new in OLD_OPTIONS.get(words[0] if words else "", {}).items():
        if option in words:
            return f"`hgmnet {words[0]} {option}` is now `hgmnet {words[0]} {new}`"
    return ""
