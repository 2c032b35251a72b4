"""Learning curve: figures for growing fractions of the training groups."""

from statistics import fmean

from hgmnet.config.params import Params
from hgmnet.data.prepared import PreparedDataset
from hgmnet.splitting.cross_validation import subsample_training_groups
from pipelines.studies.definition import Size, Study, StudyRun, assign, seeds, sized

SHARES = (0.10, 0.25, 0.50, 0.75, 1.00)
FEW = (0.50, 1.00)
"""Fractions of a smoke run."""

NOTES = (
    (
        "The number of epochs is constant, so a smaller fraction is trained for fewer steps; "
        "a recipe tuned for the whole set is not the best one for a tenth of it."
    ),
    (
        "The inner validation part, on which thresholds are chosen, always has its full size: "
        "only the number of training images varies."
    ),
    (
        "The curve ends at the available images. It does not predict the effect of images of "
        "other patients, scanners or hospitals."
    ),
)


def design(store: PreparedDataset, params: Params, size: Size) -> Study:
    """Design the curve: one run per fraction, fold and seed; fractions are nested.

    Raises:
        ConfigError: a class has fewer images than there are folds.
    """
    params = sized(params, size)
    assigned = assign(store, params, size)
    shares = FEW if size.smoke else SHARES
    whole = [assigned.sides(fold) for fold in range(size.folds)]
    cells = tuple(
        StudyRun(
            _name(share),
            fold,
            seed,
            params,
            subsample_training_groups(assigned.entries, sides, share, params.split.seed),
        )
        for seed in seeds(params, size)
        for fold, sides in enumerate(whole)
        for share in shares
    )
    names = [_name(share) for share in shares]
    counts = {
        name: fmean(cell.count("train") for cell in cells if cell.variant == name) for name in names
    }
    return Study(
        name="curve",
        title="Learning curve",
        question="Would more training images help, and how much did the last ones?",
        cells=cells,
        variants={
            name: f"{name} of the groups, {count:.0f} images" for name, count in counts.items()
        },
        reference=names[-1],
        notes=NOTES,
        size=size,
        steps=counts,
    )


def _name(share: float) -> str:
    return f"{100 * share:.0f} %"
