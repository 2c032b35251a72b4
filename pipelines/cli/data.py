"""The commands on data: `hgmnet import`, `init`, `drift`, `resplit`, `export-data`."""

import argparse
import re
import sys
from pathlib import Path

from hgmnet.cli.model import add_depth
from pipelines.cli.options import class_map, positive, reason

FORMATS = ("auto", "busi", "bus-bra", "breast", "table", "nnunet", "coco")
"""As `hgmnet.importing.detect.Format`, which takes too long to import for `--help`."""


def configure_import(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the data set's name and source."""
    parser.add_argument("name", help="the data set: data/<name>; a-z, 0-9, - and _")
    source = "a folder, .zip, .tar.gz or table (.csv, .xlsx) of images, or their https:// address"
    parser.add_argument("source", help=source)
    kind = "format of the source (default: auto)"
    parser.add_argument("--format", choices=FORMATS, default="auto", help=kind)
    sha256 = "expected hash of the file"
    parser.add_argument("--sha256", type=_sha256, metavar="HEX", help=sha256)
    most = "GiB; a larger download is refused (64)"
    parser.add_argument("--max-gib", type=positive, default=64.0, metavar="N", help=most)
    parser.add_argument("--replace", action="store_true", help="replace the images that are there")
    classes = "classes under other names, as in idc=malignant,dcis=malignant,fibroadenoma=benign"
    parser.add_argument("--map", type=class_map, default={}, metavar="THEIRS=OURS", help=classes)
    frames = "of files of several frames: which become images; all: as one group"
    parser.add_argument("--frames", choices=["first", "middle", "all"], default="", help=frames)
    add_depth(parser)
    values = "values of masks that are a lesion: 1 or 1,2; labels: all but 0; alpha: what is opaque"
    parser.add_argument("--mask-values", type=_mask_values, default={}, metavar="V", help=values)
    above = "masks: brighter than N is a lesion (127)"
    parser.add_argument("--mask-threshold", type=int, choices=range(65536), metavar="N", help=above)
    parser.add_argument("--invert-masks", action="store_true", help="masks are black on white")


def run_import(root: Path, args: argparse.Namespace) -> None:
    """Lay the images out, add them to DVC, and print the next step.

    Raises:
        ConfigError: the name is not allowed, the data set is in use, or `dvc add` failed.
        InvalidDataError: there are images already, or the source is not valid.
    """
    from hgmnet.importing.importer import ImportOptions
    from hgmnet.importing.mask_reader import MaskOptions
    from pipelines.operations.import_dataset import (
        import_dataset,
        passed_over,
        privacy_warning,
        summary,
    )

    masks = {"threshold": args.mask_threshold, "invert": args.invert_masks} | args.mask_values
    options = ImportOptions(
        frames=args.frames, bits=args.bits, masks=MaskOptions(**masks), classes=args.map
    )
    known = {"source_format": args.format, "sha256": args.sha256 or "", "replace": args.replace}
    known |= {"max_gib": args.max_gib, "options": options}
    found = import_dataset(root, args.name, args.source, **known)
    print(summary(found, passed_over(root, args.name)))
    if warning := privacy_warning(root / "data" / args.name / "raw"):
        print(warning, file=sys.stderr)
    print(f"data/{args.name}/raw is in DVC's care; for git: git add data/{args.name}")
    print(f"Next: hgmnet init {args.name}, which writes its settings, then: dvc repro")


def configure_join(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the joint set's name and its parts."""
    parser.add_argument("name", help="the joint data set: data/<name>; a-z, 0-9, - and _")
    parser.add_argument("sets", nargs="+", metavar="SET", help="an imported data set: data/<SET>")


def run_join(root: Path, args: argparse.Namespace) -> None:
    """Copy the images of several data sets into one; print the next step.

    Raises:
        HgmnetError: as `pipelines.operations.join_datasets.join_datasets`.
    """
    from pipelines.operations.join_datasets import join_datasets

    print(join_datasets(root, args.name, args.sets))
    print(f"data/{args.name}/raw is in DVC's care; for git: git add data/{args.name}")
    print(f"Next: hgmnet init {args.name}, which writes its settings, then: dvc repro")


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no sha256; expected 64 hexadecimal digits")
    return text.lower()


def _mask_values(text: str) -> dict[str, object]:
    """Parse `--mask-values` into fields of `MaskOptions`."""
    if text == "labels":
        return {"threshold": 0}
    if text == "alpha":
        return {"alpha": True}
    if not re.fullmatch(r"\d{1,5}(,\d{1,5})*", text):
        msg = f"{text!r}: expected labels, alpha, or values such as 1 or 1,2"
        raise argparse.ArgumentTypeError(msg)
    return {"values": tuple(map(int, text.split(",")))}


def configure_init(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for data set and profile."""
    parser.add_argument("name", help="an imported data set: data/<name>")
    profile = "start from profiles/<PROFILE>.yaml (default: the set's own, else busi-cpu, or busi "
    parser.add_argument("--profile", help=f"{profile}with a GPU)")
    force = "replace a params.yaml that is in no commit"
    parser.add_argument("--force", action="store_true", help=force)


def run_init(root: Path, args: argparse.Namespace) -> None:
    """Write params.yaml, and a plan into pccp.yaml; print what was written and the next step.

    Raises:
        HgmnetError: as `pipelines.operations.init_settings.init_settings`.
    """
    from pipelines.operations.init_settings import init_settings
    from pipelines.operations.run_overrides import alone

    with alone(root, f"hgmnet init {args.name}"):
        print(init_settings(root, args.name, args.profile, force=args.force))


def configure_drift(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for folder and model."""
    parser.add_argument("folder", type=Path, help="images, also in subfolders; masks are ignored")
    parser.add_argument("--model", type=Path, help="a model folder (default: models/hgmnet)")


def run_drift(root: Path, args: argparse.Namespace) -> None:
    """Print one line per column; write reports/drift.json and Great Expectations' pages.

    Drift is a result, not an error: drift.json reports it.

    Raises:
        ConfigError: the model is missing or damaged.
        InvalidDataError: its profile is missing or damaged, or no image can be read.
    """
    from pipelines.drift.report import profile_folder, report_lines

    report = profile_folder(root, args.folder, args.model or root / "models" / "hgmnet")
    print("\n".join(report_lines(report)))


def configure_resplit(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the reason, which split.json keeps."""
    parser.add_argument("--reason", required=True, help="why; kept in split.json")


def run_resplit(root: Path, args: argparse.Namespace) -> None:
    """Assign every image to a split again, by the seed and fractions of params.yaml.

    Raises:
        ConfigError: the reason is empty, or a run or a dvc command uses the data set.
        InvalidDataError: the manifest is absent or did not pass validation.
    """
    from hgmnet.config.params import load_params
    from pipelines.operations.run_overrides import alone
    from pipelines.stages.split import resplit
    from pipelines.system import dvc

    why = reason(args.reason, "a reason that someone will understand in a year")
    params = load_params(root / "params.yaml")
    with alone(root, "hgmnet resplit"), dvc.unused(root, root / "data" / params.data.name):
        resplit(root, params.data, params.split, why)
    print(f"Split again: {params.data.name}. Models from before were tested on other images.")
    print("Next: dvc repro")


def configure_export_data(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the format and the folder."""
    parser.add_argument("--format", choices=["nnunet", "coco"], required=True, help="of the folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder")


def run_export_data(root: Path, args: argparse.Namespace) -> None:
    """Write the data set of params.yaml by its locked split; print the number of images.

    Raises:
        ConfigError: the folder is there already, or a class is not in data.classes.
        InvalidDataError: there is no split yet, or an image can't be read.
    """
    from hgmnet.config.params import load_params
    from pipelines.artifacts.paths import Workspace
    from pipelines.operations.export_dataset import export_dataset

    data = load_params(root / "params.yaml").data
    counts = export_dataset(Workspace(root, data.name), data, args.format, args.out)
    sides = ", ".join(f"{side} {counts.get(side, 0)}" for side in ("train", "val", "test"))
    print(f"{data.name}: {sides}; images that are excluded are not among them: {args.out}")
