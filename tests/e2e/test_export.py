"""`hgmnet export` and what reads its file: the same findings, with few packages, or nothing."""

import csv
import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from small_store import small_store

from hgmnet.data.images import decode_grey
from hgmnet.errors import ConfigError, HgmnetError, RejectedError
from hgmnet.inference.parity import parity
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.ensemble import joined
from hgmnet.models.hgmnet import HGMNet
from hgmnet.prediction.backends import cached
from hgmnet.prediction.files import find_files
from tests.blocked import run_without, without
from tests.tiny_repository import liven, make_model, make_repository, spec

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from hgmnet.inference.onnx import OnnxPredictor
from hgmnet.inference.onnx_export import export_onnx
from hgmnet.prediction import onnx_export
from pipelines.prediction.onnx_export import Bounds, quantise_checked, val_images

pytestmark = pytest.mark.slow
OURS = ("torch", "torchvision", "hgmnet", "pipelines", "mlflow", "pydantic", "scipy", "pandas")


@pytest.fixture(scope="module")
def small():
    """Run commands with torch, and without MLflow, Prefect and DVC."""
    with without(["mlflow", "prefect", "dvc"], ["torch", "hgmnet.models.hgmnet"]) as run:
        yield run


@pytest.fixture(scope="module")
def smaller():
    """Run commands without torch and onnx."""
    with without(["torch", "onnx"], ["hgmnet.inference.onnx", "hgmnet.prediction.files"]) as run:
        yield run


@pytest.fixture(scope="module")
def workspace(small, tmp_path_factory):
    """A repository with a model that was exported, and a prepared set."""
    workspace = make_repository(tmp_path_factory.mktemp("repository"))
    (workspace.root / "dvc.yaml").touch()
    small_store(workspace.prepared)
    words = ["pipelines", "export", "--model", "models/hgmnet", "--out", "out/model.onnx"]
    done = small(words, workspace.root)
    assert done.returncode == 0, done.stderr
    assert "on 50 images probabilities differ by" in done.stdout
    assert "phantom images" in done.stdout  # the prepared images' files are not there
    return workspace


@pytest.fixture(scope="module")
def file(workspace):
    return workspace.root / "out" / "model.onnx"


@pytest.fixture(scope="module")
def predictor(workspace):
    return TorchPredictor.load(workspace.model)


def greys(count):
    generator = np.random.default_rng(0)
    coarse = (generator.integers(0, 256, (6, 5 + i), dtype=np.uint8) for i in range(count))
    return [np.asarray(Image.fromarray(c).resize((40 + 3 * i, 50))) for i, c in enumerate(coarse)]


def test_the_file_says_what_the_model_says_in_batches_of_any_size(file, predictor):
    images, exported = greys(7), OnnxPredictor.load(file)
    told = predictor.predict(images)
    assert len({finding.lesion_area for finding in told}) > 3  # else anything would agree
    for batch_size in (1, 3, 7):
        found = exported.predict(images, batch_size)
        assert parity(told, found).holds
        for one, other in zip(told, found, strict=True):
            assert other.uncertainty == pytest.approx(one.uncertainty, abs=1e-3)
            assert (other.decision, other.refer) == (one.decision, one.refer)
            assert (one.coarse_mask == other.coarse_mask).mean() >= 0.999
    assert exported.identity == predictor.identity
    assert b"fingerprint0" in file.read_bytes()
    assert exported.spec.seen.train == ()


def test_the_reader_needs_nothing_but_three_packages(workspace, file, predictor, tmp_path):
    images = find_files([str(workspace.raw)]).images
    reader = file.with_name("read_onnx.py")
    done = run_without(OURS, [reader, file, *images], tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    findings = predictor.predict([decode_grey(image.read_bytes(), "") for image in images])
    for image, row, finding in zip(images, rows, findings, strict=True):
        assert row["decision"] == finding.decision
        assert row["probs"] == pytest.approx(finding.probs, abs=1e-4)
        with Image.open(tmp_path / f"{image.stem}_mask.png") as png:
            assert ((np.asarray(png) > 0) == finding.mask).mean() >= 0.999


def test_predict_takes_the_export_without_torch_and_says_the_same(
    workspace, small, smaller, tmp_path
):
    words = ["pipelines", "predict", str(workspace.raw), "--model", "models/hgmnet", "--out"]
    rows = {}
    for backend, run, blocked in (("torch", small, ["onnxruntime"]), ("auto", smaller, [])):
        out = tmp_path / backend
        done = run([*words, out, "--backend", backend], workspace.root, blocked)
        assert done.returncode == 0, done.stderr
        with (out / "predictions.csv").open() as table:
            rows[backend] = list(csv.DictReader(table))
        assert f"6 images predicted by models/hgmnet ({rows[backend][0]['backend']})" in done.stdout
    assert rows["torch"][0]["backend"].startswith("torch ")
    assert rows["auto"][0]["backend"].startswith("onnxruntime ")
    for one, other in zip(rows["torch"], rows["auto"], strict=True):
        assert float(one["prob_malignant"]) == pytest.approx(float(other["prob_malignant"]), 1e-4)
        assert (one["decision"], one["model_sha256"]) == (other["decision"], other["model_sha256"])
        assert one["lesion_area_px"] == other["lesion_area_px"]


def test_predict_takes_a_file_and_says_in_a_line_where_onnxruntime_is_absent(
    file, workspace, small, smaller
):
    words = ["pipelines", "predict", str(workspace.raw), "--out", "found", "--model", str(file)]
    assert smaller(words, workspace.root).returncode == 0
    done = small(words, workspace.root, ["onnxruntime"])
    assert done.returncode == 2
    assert done.stderr == (
        "hgmnet: Config: onnxruntime is not installed: pip install onnxruntime\n"
    )
    words = ["pipelines", "export", "--model", "models/hgmnet", "--out", "x.onnx"]
    done = small(words, workspace.root, ["onnx", "onnxscript"])
    assert done.returncode == 2
    assert done.stderr.startswith("hgmnet: Config: onnx and onnxscript must be installed")


@pytest.mark.parametrize("content", [b"damaged", b"", None])
def test_what_is_no_such_file_is_refused(content, tmp_path):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.onnx is (missing|not a valid ONNX model)"):
        OnnxPredictor.load(path)


def test_a_file_of_another_make_is_refused(file, tmp_path):
    import onnx

    model = onnx.load(file)
    for known, says in (({}, "no format"), ({"format": "99"}, "format 99")):
        onnx.helper.set_model_props(model, known)
        onnx.save(model, tmp_path / "other.onnx")
        with pytest.raises(ConfigError, match=says):
            OnnxPredictor.load(tmp_path / "other.onnx")


def test_a_file_that_answers_otherwise_is_not_kept(workspace, file, tmp_path, monkeypatch):
    """What is put in place of the export is a real one, of another model."""
    make_model(workspace, seed=1)
    other = TorchPredictor.load(workspace.model)
    make_model(workspace, seed=0)
    monkeypatch.setattr(onnx_export, "export_onnx", lambda _, part: shutil.copyfile(file, part))
    side = {"width": 64, "height": 64}  # drawn sooner
    monkeypatch.setattr(onnx_export, "_PHANTOM", onnx_export._PHANTOM.model_copy(update=side))
    kept = tmp_path / "model.onnx"
    kept.write_text("what was there before")
    with pytest.raises(HgmnetError, match="predicts otherwise: on 50 images"):
        onnx_export.export_checked(other, kept, partial(val_images, workspace.root))
    assert kept.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [kept]


def test_int8_is_written_within_the_bound(workspace, file, predictor, tmp_path):
    small, most = tmp_path / "int8.onnx", Bounds(1.0, 1.0)
    said = quantise_checked(workspace.root, predictor, file, small, most)
    assert said.startswith("int8 on 3 images, 2 with a lesion: lesion Dice")
    assert small.stat().st_size < 0.5 * file.stat().st_size
    images = greys(4)
    one, other = OnnxPredictor.load(file).predict(images), OnnxPredictor.load(small).predict(images)
    assert 0 < parity(one, other).prob_gap < 0.2


@pytest.mark.long
def test_int8_is_refused_over_the_bound(workspace, file, predictor, tmp_path):
    """Even a gain of 1 would be less than is asked for."""
    most = Bounds(-1.1, 1.0)
    with pytest.raises(RejectedError, match="int8 loses too much: on 3 images, 2 with a lesion"):
        quantise_checked(workspace.root, predictor, file, tmp_path / "a.onnx", most)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_goes_by_the_model(workspace, predictor):
    assert cached(workspace.exports, predictor.identity).exists()
    assert not cached(workspace.exports, "0" * 64).exists()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("model", "point", "fit"),
    [
        ({"gate": "free", "input": "rgb"}, {"mirror": False}, "letterbox"),
        ({"gate": "reverse", "shared_encoder": True}, {"mirror": False}, "stretch"),
        ({"gate": "input", "class_scales": 2}, {"mirror": False, "scales": (1.1,)}, "stretch"),
        ({"gate": "none", "coarse": False}, {"mirror": False}, "stretch"),
        ({"tasks": "segmentation"}, {"mirror": False, "malignant_threshold": None}, "stretch"),
        (
            {"tasks": "classification", "coarse": False, "gate": "none"},
            {"scales": (0.9, 1.2)},  # and mirrored: six views, of the smallest network
            "letterbox",
        ),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value,
)
def test_every_kind_of_model_can_be_exported(model, point, fit, workspace, tmp_path):
    from hgmnet.config.params import load_params

    params = load_params(workspace.root / "params.yaml")
    kind = params.model.model_copy(update=model)
    known = spec(params, 0).model_copy(
        update={"model": kind, "prepare": params.prepare.model_copy(update={"fit": fit})}
    )
    torch.manual_seed(0)
    network = HGMNet(kind, 3)
    network = (liven(network) if network.classifier else network).eval()
    operating = TorchPredictor.load(workspace.model).operating.model_copy(update=point)
    predictor = TorchPredictor(network, known, operating, "0")
    export_onnx(predictor, tmp_path / "model.onnx")
    images = greys(5)
    assert parity(
        predictor.predict(images), OnnxPredictor.load(tmp_path / "model.onnx").predict(images, 2)
    ).holds


def test_an_ensemble_is_one_file(workspace, predictor, tmp_path):
    others = [liven(HGMNet(predictor.spec.model, 3)) for _ in range(2)]
    network = joined([predictor.network, *others]).eval()
    ensemble = TorchPredictor(network, predictor.spec, predictor.operating, "0")
    export_onnx(ensemble, tmp_path / "model.onnx")
    images = greys(5)
    said = ensemble.predict(images)
    assert parity(said, OnnxPredictor.load(tmp_path / "model.onnx").predict(images, 2)).holds
    assert not parity(said, predictor.predict(images)).holds
