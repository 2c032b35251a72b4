"""Where things lie under the repository root."""

from dataclasses import dataclass
from pathlib import Path

EXPERIMENTS = (".dvc", "tmp", "exps")
"""Where the copies of a checkout lie in which DVC runs experiments."""


def checkout(root: Path) -> Path:
    """The checkout that an experiment's copy was made from; any other repository itself.

    MLflow runs, test evaluations and checkpoints of an experiment belong to that checkout.
    """
    places = (folder for folder in root.parents if folder.parts[-3:] == EXPERIMENTS)
    return next((folder.parents[2] for folder in places), root)


@dataclass(frozen=True)
class Workspace:
    """Where things lie under the repository root, for one data set."""

    root: Path
    data: str

    @property
    def folder(self) -> Path:
        """The data set."""
        return self.root / "data" / self.data

    @property
    def raw(self) -> Path:
        """`<class>/<stem>.png` and `<stem>_mask*.png`."""
        return self.folder / "raw"

    @property
    def curation(self) -> Path:
        """The user's own list: image, group, exclude, reason."""
        return self.folder / "curation.csv"

    @property
    def manifest(self) -> Path:
        """A row an image: `hgmnet.data.image_record.ImageRecord`."""
        return self.folder / "manifest.csv"

    @property
    def pairs(self) -> Path:
        """The evidence for every likeness: `hgmnet.splitting.pairs.Pair`."""
        return self.folder / "pairs.csv"

    @property
    def groups(self) -> Path:
        """Which images belong together, for git: `hgmnet.data.image_record.Grouped`."""
        return self.folder / "groups.csv"

    @property
    def split_csv(self) -> Path:
        """The locked assignment: `hgmnet.splitting.split_lock.SplitRow`."""
        return self.folder / "split.csv"

    @property
    def split_json(self) -> Path:
        """The lock: `hgmnet.splitting.split_lock.Lock`."""
        return self.folder / "split.json"

    @property
    def prepared(self) -> Path:
        """Arrays and an index of live rows: `hgmnet.data.prepared.PreparedDataset`."""
        return self.folder / "prepared"

    @property
    def model(self) -> Path:
        """The model folder: weights.safetensors, model.json, operating.json, profile.json."""
        return self.root / "models" / "hgmnet"

    @property
    def reports(self) -> Path:
        """Everything that is told about data and model."""
        return self.root / "reports"

    @property
    def validation(self) -> Path:
        """`ValidationReport`."""
        return self.reports / "validation.json"

    @property
    def likeness(self) -> Path:
        """Label conflicts, copies and scenes with their pictures, one self-contained page."""
        return self.reports / "likeness.html"

    @property
    def data_docs(self) -> Path:
        """Great Expectations' own pages; not a DVC output."""
        return self.reports / "data_docs"

    @property
    def drift(self) -> Path:
        """New images against the model's: `hgmnet.evaluation.drift.DriftReport`, no output."""
        return self.reports / "drift.json"

    @property
    def drift_docs(self) -> Path:
        """Great Expectations' own pages about them."""
        return self.reports / "drift" / "data_docs"

    @property
    def curves(self) -> Path:
        """A row an epoch: `hgmnet.training.lightning_module.EpochFigures`."""
        return self.reports / "train" / "curves.csv"

    @property
    def train_metrics(self) -> Path:
        """The last epoch's figures, flat."""
        return self.reports / "train" / "metrics.json"

    @property
    def train_run(self) -> Path:
        """On what the weights were made: `TrainRun`."""
        return self.reports / "train" / "run.json"

    @property
    def comparison(self) -> Path:
        """Two versions side by side, one self-contained page; not a DVC output."""
        return self.reports / "compare" / "index.html"

    @property
    def evaluation(self) -> Path:
        """per_image.csv, metrics.json and the plot files."""
        return self.reports / "evaluation"

    @property
    def per_image(self) -> Path:
        """A row an image: `hgmnet.evaluation.per_image.image_row`."""
        return self.evaluation / "per_image.csv"

    @property
    def metrics(self) -> Path:
        """`Evaluation`."""
        return self.evaluation / "metrics.json"

    @property
    def evaluation_drift(self) -> Path:
        """The evaluated images against the model's: `hgmnet.evaluation.drift.DriftReport`."""
        return self.evaluation / "drift.json"

    @property
    def subgroups(self) -> Path:
        """`Subgroups`."""
        return self.evaluation / "subgroups.json"

    @property
    def certainty(self) -> Path:
        """`Certainty`."""
        return self.evaluation / "certainty.json"

    @property
    def consistency(self) -> Path:
        """`Consistency`."""
        return self.evaluation / "consistency.json"

    @property
    def mask_curve(self) -> Path:
        """`MaskCurve`."""
        return self.reports / "calibration" / "mask_curve.json"

    @property
    def opening(self) -> Path:
        """`EvaluationNumber`."""
        return self.evaluation / "opening.json"

    @property
    def change_plan(self) -> Path:
        """The change plan: `hgmnet.config.change_plan.ChangePlans`; a person writes it."""
        return self.root / "pccp.yaml"

    @property
    def gate(self) -> Path:
        """`GateResult`."""
        return self.reports / "gate.json"

    @property
    def html(self) -> Path:
        """The report, one self-contained page."""
        return self.reports / "html" / "index.html"

    @property
    def model_card(self) -> Path:
        """The model card."""
        return self.reports / "model_card.md"

    @property
    def state(self) -> Path:
        """What belongs to this checkout alone: checkpoints, openings, locks. Not in DVC or git."""
        return checkout(self.root) / ".hgmnet"

    @property
    def checkpoints(self) -> Path:
        """A folder for each unfinished training, named by its fingerprint."""
        return self.state / "checkpoints"

    @property
    def openings(self) -> Path:
        """Evaluations on the test split, a line each: `pipelines.artifacts.test_evaluations`."""
        return self.state / "openings.jsonl"

    @property
    def versions(self) -> Path:
        """Copies of registered versions, `<model>/<version>/` each."""
        return self.state / "versions"

    @property
    def exports(self) -> Path:
        """Exports for ONNX Runtime."""
        return self.state / "onnx"
