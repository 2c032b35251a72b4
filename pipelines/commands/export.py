"""`hgmnet export`: a model as one file that needs none of this, checked against the model."""

import argparse
from pathlib import Path

from pipelines import choosing


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the model, the format and where to write."""
    parser.add_argument("--format", choices=["onnx"], default="onnx", help="onnx")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write")
    choosing.offer(parser)
    parser.add_argument("--int8", action="store_true", help="in 8 bits: smaller and faster")
    parser.add_argument(
        "--max-loss",
        nargs=2,
        type=float,
        default=(0.01, 0.02),
        metavar=("DICE", "ACCURACY"),
        help="what int8 may lose on val, else it is refused (0.01 0.02)",
    )


def run(root: Path, args: argparse.Namespace) -> None:
    """Write the file, and read_onnx.py beside it, which shows how to use it.

    Raises:
        ConfigError: no such model, or a package is not installed.
        HgmnetError: the file answers otherwise than the model.
        InvalidDataError: `--int8` without the data set that it is judged on.
        RejectedError: int8 loses too much.
    """
    import shutil

    folder, name = choosing.choose(root, args)

    import hgmnet
    from hgmnet.inference import Predictor
    from pipelines.exporting import Bounds, export_checked, quantise_checked
    from pipelines.exports import cached

    predictor = Predictor.load(folder)
    kept = cached(root, predictor.identity)
    print(export_checked(root, predictor, kept))
    if args.int8:
        print(quantise_checked(root, predictor, kept, args.out, Bounds(*args.max_loss)))
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, args.out)
    reader = args.out.with_name("read_onnx.py")
    shutil.copyfile(Path(hgmnet.__file__).with_name("read_onnx.py"), reader)
    megabytes = args.out.stat().st_size / 1e6
    print(f"{name}: {args.out}, {megabytes:.0f} MB; try: python {reader} {args.out} scan.png")
    print("Research use only; not a medical device.")
