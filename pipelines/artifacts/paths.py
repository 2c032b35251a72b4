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
    """Paths under the repository root, for one data set; in `code`: the type of the content."""

    root: Path
    data: str

    folder = _At("data/{data}")  # the data set
    raw = _At("data/{data}/raw")  # `<class>/<stem>.png` and `<stem>_mask*.png`
    curation = _At("data/{data}/curation.csv")  # the user's list: image, group, exclude, reason
    manifest = _At("data/{data}/manifest.csv")  # one row per image: `ImageRecord`
    data_card = _At("data/{data}/data_card.yaml")  # a person's knowledge of it: `DataCard`
    pairs = _At("data/{data}/pairs.csv")  # evidence for near-duplicates: `Pair`
    groups = _At("data/{data}/groups.csv")  # the group of each image, in git: `Grouped`
    split_csv = _At("data/{data}/split.csv")  # the locked assignment: `SplitRow`
    split_json = _At("data/{data}/split.json")  # the lock: `Lock`
    prepared = _At("data/{data}/prepared")  # arrays and an index of live rows: `PreparedDataset`
    model = _At("models/hgmnet")  # weights.safetensors, model.json, operating.json, profile.json
    reports = _At("reports")  # reports on data and model for readers
    validation = _At("reports/validation.json")  # `ValidationReport`
    likeness = _At("reports/likeness.html")  # label conflicts, copies and scenes with images
    data_docs = _At("reports/data_docs")  # Great Expectations' own pages; not a DVC output
    drift = _At("reports/drift.json")  # new images: `DriftReport`; not a DVC output
    drift_docs = _At("reports/drift/data_docs")  # Great Expectations' own pages about new images
    curves = _At("reports/train/curves.csv")  # one row per epoch: `EpochFigures`
    train_metrics = _At("reports/train/metrics.json")  # the last epoch's figures, flat
    train_run = _At("reports/train/run.json")  # how the weights were made: `TrainRun`
    comparison = _At("reports/compare/index.html")  # of two versions; not a DVC output
    evaluation = _At("reports/evaluation")  # per_image.csv, metrics.json and the plot files
    per_image = _At("reports/evaluation/per_image.csv")  # one row per image: `image_row`
    metrics = _At("reports/evaluation/metrics.json")  # `Evaluation`
    evaluation_drift = _At("reports/evaluation/drift.json")  # evaluated images: `DriftReport`
    subgroups = _At("reports/evaluation/subgroups.json")  # `Subgroups`
    certainty = _At("reports/evaluation/certainty.json")  # `Certainty`
    consistency = _At("reports/evaluation/consistency.json")  # `Consistency`
    mask_curve = _At("reports/calibration/mask_curve.json")  # `MaskCurve`
    opening = _At("reports/evaluation/opening.json")  # `EvaluationNumber`
    change_plan = _At("pccp.yaml")  # the change plan: `ChangePlans`; a person writes it
    risks = _At("risks.yaml")  # risks, their measures and checks: `Risks`; a person writes it
    gate = _At("reports/gate.json")  # `GateResult`
    summary = _At("reports/summary.json")  # the figures of `dvc metrics show`
    html = _At("reports/html/index.html")  # the report, one self-contained page
    model_card = _At("reports/model_card.md")  # the model card
    checkpoints = _At("checkpoints", "state")  # a folder per unfinished training's fingerprint
    openings = _At("openings.jsonl", "state")  # evaluations on the test split: `RecordedEvaluation`
    versions = _At("versions", "state")  # copies of registered versions, `<model>/<version>/` each
    exports = _At("onnx", "state")  # exports for ONNX Runtime

    def version_page(self, number: str) -> Path:
        """The page of a registered version, one self-contained page; not a DVC output."""
        return self.reports / "versions" / number / "index.html"

    @property
    def state(self) -> Path:
        """Folder of this checkout's checkpoints, openings and locks; not in DVC or git."""
        return checkout(self.root) / ".hgmnet"
