"""Paths of a repository's files and folders."""

from dataclasses import dataclass
from pathlib import Path

EXPERIMENTS = (".dvc", "tmp", "exps")
"""Folder of the checkout's copies in which DVC runs experiments."""


def checkout(root: Path) -> Path:
    """Return the source checkout of an experiment's copy; `root` itself for other repositories.

    MLflow runs, test evaluations and checkpoints of an experiment belong to that checkout.
    """
    places = (folder for folder in root.parents if folder.parts[-3:] == EXPERIMENTS)
    return next((folder.parents[2] for folder in places), root)


class _At:
    """A path below the root or another path of the workspace; `{data}`: name of the data set."""

    def __init__(self, path: str, base: str = "root") -> None:
        self._path, self._base = path, base

    def __get__(self, space: "Workspace", kind: type) -> Path:
        top: Path = getattr(space, self._base)
        return top / self._path.format(data=space.data)


@dataclass(frozen=True)
class Workspace:
    """Paths under the repository root, for one data set."""

    root: Path
    data: str

    folder = _At("data/{data}")  # the data set
    raw = _At("data/{data}/raw")  # `<class>/<stem>.png` and `<stem>_mask*.png`
    curation = _At("data/{data}/curation.csv")  # the user's list: image, group, exclude, reason
    # one row per image: `hgmnet.data.image_record.ImageRecord`
    manifest = _At("data/{data}/manifest.csv")
    # what a person knows about the data set: `hgmnet.config.data_card.DataCard`
    data_card = _At("data/{data}/data_card.yaml")
    # evidence for near-duplicates: `hgmnet.splitting.pairs.Pair`
    pairs = _At("data/{data}/pairs.csv")
    # the group of each image, in git: `hgmnet.data.image_record.Grouped`
    groups = _At("data/{data}/groups.csv")
    # the locked assignment: `hgmnet.splitting.split_lock.SplitRow`
    split_csv = _At("data/{data}/split.csv")
    split_json = _At("data/{data}/split.json")  # the lock: `hgmnet.splitting.split_lock.Lock`
    # arrays and an index of live rows: `hgmnet.data.prepared.PreparedDataset`
    prepared = _At("data/{data}/prepared")
    # the model folder: weights.safetensors, model.json, operating.json, profile.json
    model = _At("models/hgmnet")
    reports = _At("reports")  # reports on data and model for readers
    validation = _At("reports/validation.json")  # `ValidationReport`
    # label conflicts, copies and scenes with images, one self-contained page
    likeness = _At("reports/likeness.html")
    data_docs = _At("reports/data_docs")  # Great Expectations' own pages; not a DVC output
    # new images against the model's: `hgmnet.evaluation.drift.DriftReport`; not a DVC output
    drift = _At("reports/drift.json")
    drift_docs = _At("reports/drift/data_docs")  # Great Expectations' own pages about new images
    # one row per epoch: `hgmnet.training.lightning_module.EpochFigures`
    curves = _At("reports/train/curves.csv")
    train_metrics = _At("reports/train/metrics.json")  # the last epoch's figures, flat
    train_run = _At("reports/train/run.json")  # how the weights were made: `TrainRun`
    # comparison of two versions, one self-contained page; not a DVC output
    comparison = _At("reports/compare/index.html")
    evaluation = _At("reports/evaluation")  # per_image.csv, metrics.json and the plot files
    # one row per image: `hgmnet.evaluation.per_image.image_row`
    per_image = _At("reports/evaluation/per_image.csv")
    metrics = _At("reports/evaluation/metrics.json")  # `Evaluation`
    # the evaluated images against the model's: `hgmnet.evaluation.drift.DriftReport`
    evaluation_drift = _At("reports/evaluation/drift.json")
    subgroups = _At("reports/evaluation/subgroups.json")  # `Subgroups`
    certainty = _At("reports/evaluation/certainty.json")  # `Certainty`
    consistency = _At("reports/evaluation/consistency.json")  # `Consistency`
    mask_curve = _At("reports/calibration/mask_curve.json")  # `MaskCurve`
    opening = _At("reports/evaluation/opening.json")  # `EvaluationNumber`
    # the change plan: `hgmnet.config.change_plan.ChangePlans`; a person writes it
    change_plan = _At("pccp.yaml")
    # risks, their measures and checks: `hgmnet.config.risks.Risks`; a person writes it
    risks = _At("risks.yaml")
    gate = _At("reports/gate.json")  # `GateResult`
    summary = _At("reports/summary.json")  # the figures of `dvc metrics show`
    html = _At("reports/html/index.html")  # the report, one self-contained page
    model_card = _At("reports/model_card.md")  # the model card
    # a folder for each unfinished training, named by its fingerprint
    checkpoints = _At("checkpoints", "state")
    # evaluations on the test split, one line each: `pipelines.artifacts.test_evaluations`
    openings = _At("openings.jsonl", "state")
    versions = _At("versions", "state")  # copies of registered versions, `<model>/<version>/` each
    exports = _At("onnx", "state")  # exports for ONNX Runtime

    def version_page(self, number: str) -> Path:
        """The page of a registered version, one self-contained page; not a DVC output."""
        return self.reports / "versions" / number / "index.html"

    @property
    def state(self) -> Path:
        """Folder of this checkout's checkpoints, openings and locks; not in DVC or git."""
        return checkout(self.root) / ".hgmnet"
