"""A script, not a module: load a registered version and predict, having imported nothing of ours.

Its arguments: `<model URI> <folder of images> <answers.json>`; run it with `python -P`. The packed
code counts, so a `hgmnet` that comes from anywhere else is an error.
"""

import sys
from pathlib import Path

import mlflow
import pandas as pd


def main(model_uri: str, images: Path, answers: Path) -> None:
    """Write the model's answers for the files of `images`, sorted by name, as JSON records."""
    copy = Path.cwd() / "model"
    copy.mkdir()
    model = mlflow.pyfunc.load_model(model_uri, dst_path=str(copy))
    code = Path(sys.modules["hgmnet"].__file__ or "")
    if not code.resolve().is_relative_to(copy.resolve()):
        raise ImportError(f"hgmnet was loaded from {code}, not from the version's own code")
    frame = pd.DataFrame({"image": [file.read_bytes() for file in sorted(images.iterdir())]})
    model.predict(frame).to_json(answers, orient="records", double_precision=15)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
