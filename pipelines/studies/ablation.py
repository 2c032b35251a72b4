"""The ablation: each part of the model taken away, on the same folds and seeds."""

from collections.abc import Sequence

from hgmnet.config import Params
from hgmnet.data.store import Store
from hgmnet.errors import ConfigError
from pipelines.studies.cell import Cell
from pipelines.studies.design import Size, Study, deal, seeds, sized
from pipelines.studies.grid import FULL, SMOKE, Variant, grid

NOTES = (
    (
        "The settings were tuned for the full model or one near it, and every variant is trained "
        "by them: a variant that does worse might do better with its own."
    ),
    (
        "P of another image and P = the truth are put into the full model after training, where it "
        "is judged, and act on the gates and on where the classifier pools. The second is no model "
        "that anybody could use: it bounds what a better coarse net would bring."
    ),
    (
        "The fine net alone and the multi-task U-Net have about half the weights of the full "
        "model, and their classifier pools over their own mask as the full model’s does over the "
        "coarse one."
    ),
    "Each single task is held against the full model on its own figures alone.",
    (
        "An interval that holds 0 is no proof that nothing changes: `sees` in table.csv is the "
        "difference that these images would have shown four times in five."
    ),
)


def design(store: Store, params: Params, size: Size, only: Sequence[str] = ()) -> Study:
    """A cell a variant, fold and seed.

    Args:
        store: the prepared images.
        params: of the full model.
        size: of the study.
        only: names of variants; empty: the whole grid. The full model is always among them.

    Raises:
        ConfigError: params are not of a full model, or there is no such variant.
    """
    params = sized(params, size)
    chosen = _chosen(grid(params), only or (SMOKE if size.smoke else ()))
    dealt = deal(store, params, size)
    sides = [dealt.sides(fold) for fold in range(size.folds)]
    cells = tuple(
        Cell(one.name, fold, seed, one.params(params), sides[fold], one.given)
        for seed in seeds(params, size)
        for fold in range(size.folds)
        for one in chosen
    )
    return Study(
        name="ablation",
        title="Ablation",
        question="What is each part of the model worth?",
        cells=cells,
        variants={one.name: one.title for one in chosen},
        reference=FULL,
        notes=NOTES,
        size=size,
    )


def _chosen(rows: Sequence[Variant], only: Sequence[str]) -> list[Variant]:
    names = [row.name for row in rows]
    if strange := [name for name in only if name not in names]:
        raise ConfigError(f"--only {strange[0]}: there is no such variant; {', '.join(names)} are")
    return [row for row in rows if not only or row.name in {FULL, *only}]
