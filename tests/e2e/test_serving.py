"""The pyfunc as MLflow saves, loads and serves it."""

import base64
import io
import warnings

import mlflow
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.model import PythonModelContext
from PIL import Image

from hgmnet.data.images import decode_grey
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import identity, load_operating
from pipelines.registry import pyfunc_model
from tests.tiny_repository import make_repository

CLASSES = ("benign", "malignant", "normal")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory):
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def images(workspace) -> list[bytes]:
    return [path.read_bytes() for path in sorted(workspace.raw.rglob("*.png"))]


@pytest.fixture(scope="module")
def saved(workspace, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("saved") / "model")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        mlflow.pyfunc.save_model(
            folder,
            python_model=pyfunc_model.__file__,
            artifacts={pyfunc_model.MODEL: str(workspace.model)},
            signature=pyfunc_model.signature(CLASSES),
            pip_requirements=["mlflow"],
        )
    return folder


@pytest.fixture(scope="module")
def loaded(saved: str):
    return mlflow.pyfunc.load_model(saved)


@pytest.fixture(scope="module")
def expected(workspace, images: list[bytes]):
    return TorchPredictor.load(workspace.model).predict([decode_grey(i, "i") for i in images])


def mask_of(text: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text))) as png:
        assert png.format == "PNG"
        return np.asarray(png)


def test_it_says_what_the_predictor_says(loaded, images, expected):
    answer = loaded.predict(pd.DataFrame({"image": images}))
    assert list(answer) == [column.name for column in pyfunc_model.signature(CLASSES).outputs]
    for (_, row), finding in zip(answer.iterrows(), expected, strict=True):
        assert (row["class"], row["decision"]) == (finding.predicted, finding.decision)
        assert [row[f"prob_{c}"] for c in CLASSES] == pytest.approx(
            list(finding.probs.values()), abs=5e-7
        )
        np.testing.assert_array_equal(mask_of(row["mask_png"]), finding.mask * np.uint8(255))
        assert row["lesion_area_px"] == finding.lesion_area > 0
        assert row["uncertainty"] == pytest.approx(finding.uncertainty, abs=5e-7)
        assert row["refer"] == finding.refer
        assert tuple(row[["left", "top", "right", "bottom"]]) == finding.box


def test_base64_text_is_the_same_as_bytes(loaded, images):
    text = [base64.b64encode(image).decode() for image in images]
    pd.testing.assert_frame_equal(
        loaded.predict(pd.DataFrame({"image": text})),
        loaded.predict(pd.DataFrame({"image": images})),
    )


def test_no_row_is_told(loaded):
    with pytest.raises(MlflowException, match="no row; expected the bytes") as raised:
        loaded.predict(pd.DataFrame({"image": pd.Series([], dtype=object)}))
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_without_a_lesion_there_is_no_box(workspace, images):
    model = pyfunc_model.HGMNetModel()
    model.load_context(PythonModelContext({pyfunc_model.MODEL: str(workspace.model)}, {}))
    strict = model.predictor.operating.model_copy(update={"min_area": 1.0})
    model.predictor.operating = strict
    answer = model.predict(None, pd.DataFrame({"image": images[:1]}))
    assert answer["lesion_area_px"].item() == 0
    assert answer[["left", "top", "right", "bottom"]].isna().all(axis=None)
    assert not mask_of(answer["mask_png"].item()).any()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"no image", "row 1 can't be decoded"),
        ("no base64!", "row 1 is text but not base64"),
        (None, "row 1 is NoneType; expected the bytes"),
    ],
)
def test_what_is_no_image_is_named(loaded, images, value, said):
    """A row with its error among good ones; where there is no good one the request is refused."""
    values = pd.Series([images[0], value, images[1]], dtype=object)
    answer = loaded.predict(pd.DataFrame({"image": values}))
    assert answer["error"].ne("").tolist() == [False, True, False]
    assert said in answer["error"][1]
    assert answer["decision"].isna().tolist() == [False, True, False]
    alone = pd.DataFrame({"image": pd.Series([value], dtype=object)})
    with pytest.raises(MlflowException, match=said.replace("row 1", "row 0")) as raised:
        loaded.predict(alone)
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_it_says_who_answers(loaded, images, expected, workspace):
    row = loaded.predict(pd.DataFrame({"image": images[:1]})).iloc[0]
    assert row["model_sha256"] == identity(workspace.model)
    assert row["malignant_threshold"] == load_operating(workspace.model).malignant_threshold


def test_over_http(saved, loaded, images, expected):
    client = TestClient(scoring_server.init(loaded), raise_server_exceptions=False)
    text = base64.b64encode(images[0]).decode()
    good = client.post("/invocations", json={"dataframe_records": [{"image": text}]})
    assert good.status_code == 200
    (row,) = good.json()["predictions"]
    assert (row["decision"], row["refer"]) == (expected[0].decision, expected[0].refer)
    assert mask_of(row["mask_png"]).shape == expected[0].mask.shape

    broken = base64.b64encode(b"no image").decode()
    bad = client.post("/invocations", json={"dataframe_records": [{"image": broken}]})
    assert bad.status_code == 400
    assert "row 0 can't be decoded" in bad.json()["message"]
    assert "stack_trace" not in bad.json()
