"""A repository as the stages before `register` leave it: six images and an untrained network."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from ruamel.yaml import YAML

from hgmnet.config.params import Params, load_params
from hgmnet.data.atomic import write_table, write_text
from hgmnet.evaluation.drift import DriftReport, Profile, summarise
from hgmnet.metrics.bootstrap import Figure
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.serialization import save_model, save_operating
from hgmnet.models.spec import FORMAT, PROFILE, Operating, Seen, Spec, Uncertainty, identity
from pipelines.artifacts.evaluation import Evaluation, Subgroup, Subgroups
from pipelines.artifacts.io import read_json, write_json
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import (
    numbered,
    opening_number,
    read_evaluations,
    record_evaluation,
)
from pipelines.artifacts.validation import ValidationReport
from pipelines.cli.main import STAGES
from pipelines.stages import gate
from tests.change_plans import write_plans
from tests.shared import give_mlflow_db

QUICKSTART = Path(__file__).resolve().parents[1] / "profiles" / "quickstart.yaml"
TEST_SHA = "t" * 64
RAW_LOCK = {"path": "data/phantom/raw", "md5": "0123.dir"}


def make_repository(root: Path) -> Workspace:
    """The whole of it; the gate passed."""
    workspace = Workspace(root, "phantom")
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(QUICKSTART.read_text())
    params["prepare"]["side"] = 32
    params["promotion"]["min_groups"] = 1
    params["model"] |= {"encoder": "tu-test_resnet", "decoder_channels": [16, 16, 8, 8, 8]}
    root.mkdir(exist_ok=True)
    give_mlflow_db(root)
    with (root / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    lock = {"schema": "2.0", "stages": {"ingest": {"deps": [RAW_LOCK]}, "register": {"cmd": "x"}}}
    with (root / "dvc.lock").open("w") as file:
        yaml.dump(lock, file)
    make_images(workspace)
    make_model(workspace, seed=0)
    write_plans(root)
    judge(workspace, "passed")
    for path in (workspace.html, workspace.model_card, workspace.curves, workspace.split_csv):
        write_text(path, "made up\n")
    return workspace


def make_talking_repository(root: Path) -> Workspace:
    """It with DVC, whose stages only write their names down in `ran`; `train` tells of an epoch."""
    workspace = make_repository(root)
    (root / "dvc.lock").unlink()
    command = [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"]
    subprocess.run(command, cwd=root, check=True)
    phantom, *stages = list(STAGES)[:-1]
    source = workspace.folder / "dvc.yaml"
    source.write_text(f"stages:\n  {phantom}:\n    wdir: ../..\n    cmd: 'echo {phantom} >> ran'\n")
    told = {"train": "; echo epoch 1/2: loss 1.5"}
    commands = {stage: f"echo {stage} >> ran{told.get(stage, '')}" for stage in stages}
    (root / "dvc.yaml").write_text(
        "stages:\n" + "".join(f"  {name}:\n    cmd: '{cmd}'\n" for name, cmd in commands.items())
    )
    return workspace


def make_images(workspace: Workspace) -> None:
    generator = np.random.default_rng(0)
    names = [f"benign/benign ({i}).png" for i in range(1, 7)]
    for i, name in enumerate(names):
        path = workspace.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = generator.integers(0, 256, (6, 5 + i), dtype=np.uint8)
        Image.fromarray(grey).resize((40 + i, 50), Image.Resampling.BICUBIC).save(path)
    write_evaluated(workspace, [evaluated_image(name, "test") for name in names])
    facts = {"images": 6, "per_class": {"benign": 6}, "shares": {}, "expectations": 14}
    empty = {"passed": True, "failures": (), "conflicts": ()}
    write_json(workspace.validation, ValidationReport(data=workspace.data, **facts, **empty))


def evaluated_image(image: str, split: str, dice: float = 0.5, **changes: object) -> dict[str, Any]:
    """A row of per_image.csv: benign, with a lesion of 100 px."""
    tp = round(100 * dice)
    counts = {"tp": tp, "fp": 100 - tp, "fn": 100 - tp}
    facts = {"image": image, "split": split, "height": 50, "width": 40, "label": "benign"}
    facts |= {"pixel_sha256": hashlib.sha256(image.encode()).hexdigest(), "group": image}
    facts |= {f"{net}{k}": n for net in ("", "coarse_", "served_") for k, n in counts.items()}
    return facts | {"predicted": "benign", "decision": "benign"} | changes


def write_evaluated(workspace: Workspace, rows: Sequence[dict[str, Any]]) -> None:
    """Write per_image.csv."""
    write_table(workspace.per_image, tuple(rows[0]), rows)


def make_model(workspace: Workspace, seed: int) -> None:
    params = load_params(workspace.root / "params.yaml")
    torch.manual_seed(seed)
    network = liven(HGMNet(params.model, len(params.data.classes)))
    save_model(workspace.model, network, spec(params, seed))
    operating = Operating(
        temperature=1.5,
        mask_threshold=0.5,
        min_area=0.0,
        malignant_threshold=0.4,
        normal_means_no_mask=False,
        mirror=True,
        uncertainty=Uncertainty(class_entropy=(0.0, 1.0), refer_above=0.1),
    )
    save_operating(workspace.model, operating)
    grey = summarise([80.0, 90.0, 100.0], ["a", "b", "c"])
    profile = Profile(data=params.data.name, columns={"brightness": grey})
    write_json(workspace.model / PROFILE, profile)
    evaluated(workspace)


def evaluated(workspace: Workspace) -> None:
    """Have figures and verdict, where there are any, be those of the model that is there now."""
    if workspace.metrics.exists():
        found = read_json(workspace.metrics, Evaluation)
        model = identity(workspace.model)
        write_json(workspace.metrics, found.model_copy(update={"model": model}))
        count(workspace, model, opened=found.test is not None)
        run_gate(workspace)


def liven(network: HGMNet) -> HGMNet:
    """Make an untrained network answer differently for different images."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    torch.nn.init.normal_(network.classifier[-1].weight, std=0.01)
    network.train()(torch.randn(8, 1, 32, 32))
    return network


def spec(params: Params, seed: int) -> Spec:
    return Spec(
        format=FORMAT,
        model=params.model,
        prepare=params.prepare,
        classes=params.data.classes,
        mean=0.4,
        std=0.2,
        data=params.data.name,
        seed=seed,
        fingerprint=f"fingerprint{seed}",
        parent=None,
        seen=Seen(train=("a",), val=("b",), groups=("g",), parent=()),
    )


def judge(workspace: Workspace, status: str, bound: float = 0.7) -> None:
    """Write an evaluation with lesion Dice 0.75 or, if failed, 0.6, and the gate's verdict on it.

    An evaluation on test is counted, as `evaluate` does.
    """
    value = 0.6 if status == "failed" else 0.75
    figures = {
        "lesion_dice": Figure(value=value, low=value - 0.05, high=value + 0.05, n=6, groups=6),
        "auroc_malignant": Figure(value=None, low=None, high=None, n=6, groups=6),
    }
    test = None if status == "not judged" else figures
    model = identity(workspace.model)
    evaluation = Evaluation(
        data=workspace.data, model=model, test_sha=TEST_SHA, val=figures, test=test, baselines={}
    )
    source = f"test split of {workspace.data}"
    facts = {"images": 6, "unreadable": (), "columns": (), "drifted": ()}
    drift = DriftReport(data=workspace.data, model=model, source=source, **facts)
    split = "val" if test is None else "test"
    part = Subgroup(column="label", value="benign", figures=figures)
    groups = Subgroups(data=workspace.data, test_sha=TEST_SHA, split=split, groups=(part,))
    write_json(workspace.evaluation_drift, drift)
    write_json(workspace.subgroups, groups)
    write_json(workspace.metrics, evaluation)
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((workspace.root / "params.yaml").read_text())
    check = {"metric": "lesion_dice", "bound": bound, "on": "point", "where": "all", "min_n": 1}
    params["gate"]["checks"] = [check]
    with (workspace.root / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    count(workspace, model, opened=test is not None)
    run_gate(workspace)


def count(workspace: Workspace, model: str, *, opened: bool) -> None:
    """Count the evaluation of a model on test once, and write opening.json."""
    if opened and opening_number(read_evaluations(workspace.openings), TEST_SHA, model) is None:
        record_evaluation(workspace, model, TEST_SHA, "hgmnet evaluate")
    known = read_evaluations(workspace.openings) if opened else []
    write_json(workspace.opening, numbered(known, TEST_SHA, model))


def run_gate(workspace: Workspace) -> None:
    """Run stage gate."""
    params = load_params(workspace.root / "params.yaml")
    gate.run(workspace.root, params.data, params.gate, params.registry)
