"""Stage evaluate: count pixels and classes at native size, on test only if configured."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from hgmnet.config.data import Data
from hgmnet.config.evaluation import Evaluate
from hgmnet.data.atomic import write_table
from hgmnet.data.image_statistics import measure
from hgmnet.data.images import read_grey
from hgmnet.data.masks import read_truth
from hgmnet.data.prepared import PreparedImage, open_prepared
from hgmnet.data.progress import batches
from hgmnet.errors import InvalidDataError
from hgmnet.evaluation import saliency
from hgmnet.evaluation.baselines import baselines
from hgmnet.evaluation.drift import predicted_columns
from hgmnet.evaluation.figures import figures
from hgmnet.evaluation.per_image import columns, image_row
from hgmnet.inference.predictor import Predictor, TorchPredictor
from hgmnet.metrics.catalogue import BY_SUBGROUP
from hgmnet.models.device import best_device
from hgmnet.models.spec import Spec
from hgmnet.splitting import contamination
from hgmnet.splitting.split_lock import test_sha
from pipelines.artifacts.evaluation import Evaluation, Subgroups
from pipelines.artifacts.io import write_json
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import numbered, read_evaluations, record_evaluation
from pipelines.drift.measure import drift_of
from pipelines.stages.evaluation_tables import certainty, consistency, find_subgroups

_BATCH = 16


def run(root: Path, data: Data, evaluate: Evaluate) -> None:
    """Write per_image.csv, metrics.json and opening.json.

    Write drift, subgroups, certainty and consistency of test if it is evaluated, else of val.

    Raises:
        InvalidDataError: a picture or group that the model was fitted on is in the test split.
    """
    workspace = Workspace(root, data.name)
    store = open_prepared(workspace.prepared)
    predictor = TorchPredictor.load(workspace.model, best_device())
    refuse_seen(store.entries, data.name, predictor.spec)
    sha = test_sha((e.pixel_sha256, e.label) for e in store.entries if e.split == "test")
    splits = ["val", "test"] if evaluate.include_test else ["val"]
    if evaluate.include_test:
        record_evaluation(workspace, predictor.identity, sha, "hgmnet evaluate")
    known = read_evaluations(workspace.openings) if evaluate.include_test else []
    write_json(workspace.opening, numbered(known, sha, predictor.identity))
    judged = [entry for entry in store.entries if entry.split in splits]
    found = list(looks(workspace.raw, predictor, judged))
    shares = saliency.shares(predictor.network, predictor.spec, store, judged)
    rows = []
    for look in found:
        share = shares[str(look.row["image"])]
        rows.append({**look.row, **(share.row if share else {})})
    write_table(workspace.per_image, [*columns(data.classes), *saliency.COLUMNS], rows)
    leading = {str(k.row["image"]): k.facts for k in found if k.row["split"] == splits[-1]}
    source = f"{splits[-1]} split of {data.name}"
    drift = drift_of(workspace.model, predictor.identity, leading, workspace.raw, source)
    write_json(workspace.evaluation_drift, drift)

    table = pd.DataFrame(rows)
    model, draws, seed = predictor.spec.model, evaluate.draws, evaluate.seed
    tables = {split: table[table["split"] == split] for split in splits}
    by_split = {
        split: figures(part, data.classes, draws, seed, model=model)
        | saliency.figures(part, draws, seed)
        for split, part in tables.items()
    }
    leads = table[table["split"] == splits[-1]]
    by_subgroup = partial(
        figures, classes=data.classes, draws=draws, seed=seed, model=model, only=BY_SUBGROUP
    )
    groups = find_subgroups(workspace, leads, by_subgroup)
    write_json(
        workspace.subgroups,
        Subgroups(data=data.name, test_sha=sha, split=splits[-1], groups=groups),
    )
    plain = baselines(store, splits[-1], data.classes, draws, seed) if model.classifies else {}
    write_json(
        workspace.metrics,
        Evaluation(
            data=data.name,
            model=predictor.identity,
            test_sha=sha,
            val=by_split["val"],
            test=by_split.get("test"),
            baselines=plain,
        ),
    )
    refer_above = predictor.operating.uncertainty.refer_above
    write_json(workspace.certainty, certainty(leads, data, evaluate, model, refer_above))
    write_json(workspace.consistency, consistency(leads, data, evaluate, model))


@dataclass(frozen=True)
class Look:
    """An image's row of per_image.csv, and its features for drift."""

    row: dict[str, str | int | float]
    facts: dict[str, float]


def refuse_seen(entries: Iterable[PreparedImage], data: str, model: Spec) -> None:
    """Check that a model was not fitted on images or groups of the test split.

    Raises:
        InvalidDataError: it was.
    """
    test = [entry for entry in entries if entry.split == "test"]
    known = contamination.check(test, data, [model]).seen
    if known:
        raise InvalidDataError(
            f"the model was fitted on {len(known)} images of the test split, {known[0].image} "
            "among them; train on today's split: dvc repro train"
        )


def looks(raw: Path, finder: Predictor, entries: Sequence[PreparedImage]) -> Iterator[Look]:
    """Predict each image and compare it with its truth at native size."""
    model = finder.spec.model
    for part in batches(len(entries), _BATCH, "evaluating"):
        batch = entries[part]
        images = [read_grey(raw, entry.image) for entry in batch]
        for entry, image, finding in zip(batch, images, finder.predict(images), strict=True):
            facts = measure(image).model_dump() | predicted_columns(finding, model)
            yield Look(image_row(entry, finding, read_truth(raw, entry), model), facts)
