"""Script, not a module: load a registered version and predict, without importing our packages.

Arguments: `<model URI> <folder of images> <answers.json>`; run it with `python -P`. The version's
own code is tested, so a `hgmnet` imported from anywhere else is an error.
"""

import sys
from pathlib import Path

import mlflow
import pandas as pd


def main(model_uri: str, images: Path, answers: Path) -> None:
    """Write the predictions of the files in `images`, sorted by name, as JSON records."""
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
