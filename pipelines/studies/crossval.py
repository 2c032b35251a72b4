"""Cross-validation: every image of train and val is judged once, by a model that never saw it."""

from hgmnet.config.params import Params
from hgmnet.data.prepared import PreparedDataset
from pipelines.studies.definition import Size, Study, StudyRun, assign, seeds, sized

FULL = "full"
NOTES = (
    (
        "The figures are of models trained on part of the images: of the recipe, not of the "
        "registered version, whose own figures are those on the test split."
    ),
    (
        "Folds share training images, so their spread understates how much a training on other "
        "images would differ; no unbiased estimate of that exists (Bengio and Grandvalet, JMLR 5, "
        "2004). The interval by groups is what to read."
    ),
    (
        "Settings that were chosen on this data set have seen its images and are flattered, "
        "whatever is cross-validated afterwards."
    ),
    (
        "Probabilities of different folds come from different models; AUROC and the calibration "
        "error are pooled over them all the same."
    ),
)


def design(store: PreparedDataset, params: Params, size: Size) -> Study:
    """A cell a fold and seed.

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
