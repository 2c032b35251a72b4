"""Another method's predictions on the locked test split of a data set."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hgmnet.config.base import NAME
from hgmnet.config.params import Params
from hgmnet.data.atomic import write_table
from hgmnet.data.prepared import open_prepared
from hgmnet.errors import ConfigError
from hgmnet.evaluation import outside_predictions as outside
from hgmnet.evaluation.figures import figures
from hgmnet.evaluation.per_image import columns
from hgmnet.metrics.bootstrap import Figure
from hgmnet.splitting.split_lock import test_sha
from pipelines.artifacts.io import write_json
from pipelines.artifacts.paths import Workspace
from pipelines.artifacts.test_evaluations import opening_number, read_evaluations, record_evaluation


@dataclass(frozen=True)
class Scored:
    """Figures by name; `rows`: path of per_image.csv.

    `number`: of this evaluation of the test split, from 1; `evaluations`: how many there are now.
    """

    figures: Mapping[str, Figure]
    rows: Path
    number: int | None
    evaluations: int


def score(
    workspace: Workspace, params: Params, name: str, masks: Path | None, probabilities: Path | None
) -> Scored:
    """Evaluate predictions on the test split and write reports/scores/<name>.

    It is recorded as a test evaluation before any figure is computed. `masks`,
    `probabilities`: as for `hgmnet.evaluation.outside_predictions.find_outside_predictions`.

    Raises:
        ConfigError: the name is not allowed, or a class is not in data.classes.
        InvalidDataError: the data set is not prepared, an image has no prediction, or a file can't
            be read.
    """
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"--name {name}: expected a-z, 0-9, - and _, such as unet-2024")
    index = open_prepared(workspace.prepared).entries
    entries = [entry for entry in index if entry.split == "test"]
    classes = params.data.classes
    if strange := sorted({entry.label for entry in entries} - set(classes)):
        raise ConfigError(f"{workspace.data} has {', '.join(strange)}, not in data.classes")
    names = [entry.image for entry in entries]
    found = outside.find_outside_predictions(names, classes, masks, probabilities)
    model = outside.model_of(found, params.model)
    sha = test_sha((entry.pixel_sha256, entry.label) for entry in entries)
    record_evaluation(workspace, found.sha256, sha, f"hgmnet score --name {name}")
    rows = list(outside.outside_rows(workspace.raw, entries, found, model))
    draws, seed = params.evaluate.draws, params.evaluate.seed
    known = figures(pd.DataFrame(rows), classes, draws, seed, model=model)
    folder = workspace.reports / "scores" / name
    write_table(folder / "per_image.csv", columns(classes), rows)
    recorded = read_evaluations(workspace.openings)
    number = opening_number(recorded, sha, found.sha256)
    about = {"data": workspace.data, "test_sha": sha, "method": name, "evaluation": number}
    plain = {metric: figure.model_dump(mode="json") for metric, figure in known.items()}
    write_json(folder / "metrics.json", about | {"predictions": found.sha256, "test": plain})
    evaluations = sum(one.test_sha == sha for one in recorded)
    return Scored(known, folder / "per_image.csv", number, evaluations)
