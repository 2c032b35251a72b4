"""Cross-validation: each image of train and val is evaluated once, by a model that never saw it."""

from hgmnet.config.params import Params
from hgmnet.data.prepared import PreparedDataset
from pipelines.studies.definition import Size, Study, StudyRun, assign, seeds, sized

FULL = "full"
NOTES = (
    (
        "The figures are of models trained on part of the images. They describe the recipe, not "
        "the registered version, whose figures are those on the test split."
    ),
    (
        "Folds share training images, so their spread understates how much a training on other "
        "images would differ; no unbiased estimate of that exists (Bengio and Grandvalet, JMLR 5, "
        "2004). Use the interval by groups instead."
    ),
    (
        "Settings that were chosen on this data set have seen its images, so a cross-validation "
        "on it is optimistic for them."
    ),
    (
        "Probabilities of different folds come from different models; AUROC and the calibration "
        "error are pooled over them all the same."
    ),
)


def design(store: PreparedDataset, params: Params, size: Size) -> Study:
    """Design the cross-validation: one run per fold and seed.

    Raises:
        ConfigError: a class has fewer images than there are folds.
    """
    params = sized(params, size)
    assigned = assign(store, params, size)
    cells = tuple(
        StudyRun(FULL, fold, seed, params, assigned.sides(fold))
        for seed in seeds(params, size)
        for fold in range(size.folds)
    )
    return Study(
        name="crossval",
        title="Cross-validation",
        question="What does this recipe reach on images that its models have not seen?",
        cells=cells,
        variants={FULL: "the settings of params.yaml"},
        reference=None,
        notes=NOTES,
        size=size,
    )
