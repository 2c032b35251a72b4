"""A cell of a study: settings, a fold and a seed; from it a fitted model, from that its rows."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ruamel.yaml import YAML

from hgmnet.config import Params
from hgmnet.data.store import Store
from hgmnet.interventions import Map
from hgmnet.nested import Sides
from pipelines.lineage import hash_file
from pipelines.stages.train import Recipe
from pipelines.workspace import Workspace

_OWN = ("pipelines/studies/fitting.py", "hgmnet/interventions.py", "hgmnet/nested.py")
_JUDGES = ("calibrate", "evaluate")


@dataclass(frozen=True)
class Cell:
    """One training of a study and how its fold is judged.

    `variant`: what it differs in. `fold`: from 0. `sides`: of every image of the prepared set.
    `given`: the map put in the place of the coarse net's when the fold is judged. `leaky`: images
    of one group may stand on both sides; only a study of that very leak has such cells.
    """

    variant: str
    fold: int
    seed: int
    params: Params
    sides: Sides = field(repr=False)
    given: Map = "own"
    leaky: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.variant}, fold {self.fold + 1}, seed {self.seed}"

    @property
    def recipe(self) -> Recipe:
        """What the model is trained by: in one process, so that one device holds one cell."""
        alone = {"seed": self.seed, "devices": 1, "num_nodes": 1, "strategy": "auto"}
        train = self.params.train.model_copy(update=alone)
        return Recipe(self.params.data, self.params.prepare, self.params.model, train)

    def count(self, side: str) -> int:
        """How many images are on a side."""
        return self.sides.count(side)


@dataclass(frozen=True)
class Bench:
    """What the cells of all studies share: images, and where models and rows are kept."""

    workspace: Workspace
    store: Store

    @property
    def home(self) -> Path:
        """Everything that studies keep."""
        return self.workspace.state / "studies"

    def model_folder(self, cell: Cell) -> Path:
        """Where a cell's model lies; cells that differ in `given` alone have one between them."""
        return self.home / "models" / self._model_mark(cell)

    def rows_file(self, cell: Cell) -> Path:
        """Where the rows of a cell's fold lie."""
        sections = cell.params.calibrate.model_dump_json()
        mark = _sha((self._model_mark(cell), self._judging, sections, cell.given))
        return self.home / "rows" / f"{mark}.csv"

    def _model_mark(self, cell: Cell) -> str:
        recipe = cell.recipe
        key = "".join(part.model_dump_json() for part in recipe.sections.values())
        if key not in self._made:
            self._made[key] = recipe.fingerprint(self.workspace.root)
        return _sha((self._made[key], *cell.sides))

    @cached_property
    def _made(self) -> dict[str, str]:
        """Fingerprints of recipes: each reads the prepared images once."""
        return {}

    @cached_property
    def _judging(self) -> str:
        """Of the code that calibrates, predicts and counts, and of the images it is counted on."""
        root = self.workspace.root
        return _sha(f"{path}={hash_file(root / path)}" for path in _judged_by(root, self.workspace))


def _judged_by(root: Path, workspace: Workspace) -> list[str]:
    described = YAML(typ="safe", pure=True).load((root / "dvc.yaml").read_text(encoding="utf-8"))
    names = {dep for stage in _JUDGES for dep in described["stages"][stage]["deps"]}
    deps = {name for name in names if not name.startswith(("models/", "data/"))} | {*_OWN}
    code = (root / dep for dep in deps)
    files = [*code, *workspace.raw.rglob("*")]
    return sorted(file.relative_to(root).as_posix() for file in files if file.is_file())


def _sha(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\n")
    return digest.hexdigest()
