"""`hgmnet.fit`: from images, masks and labels to a model folder."""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from hgmnet.calibration.operating_point import operating_point, predict_val
from hgmnet.config.base import MALIGNANT, Frozen, change_setting, load_settings, problems
from hgmnet.config.data import Data, Prepare
from hgmnet.config.evaluation import Calibrate
from hgmnet.config.model import Model
from hgmnet.config.training import Train
from hgmnet.data.atomic import write_text
from hgmnet.data.image_statistics import measure
from hgmnet.data.images import DecodedFile, pixel_sha256
from hgmnet.data.prepared import PreparedDataset, PreparedImage
from hgmnet.data.reader import ImageInput, read_image
from hgmnet.data.resize import Mask, fit_mask, resize_to_input
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.evaluation.drift import build_profile
from hgmnet.inference.postprocess import postprocess
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.serialization import save_model, save_operating
from hgmnet.models.spec import PROFILE
from hgmnet.splitting.cross_validation import assign_folds
from hgmnet.splitting.near_duplicates import group_near_duplicates
from hgmnet.training import fit as training
from hgmnet.training.lightning_module import EpochFigures

RECIPE = Path(__file__).with_name("recipe.yaml")
MaskInput = ImageInput | NDArray[np.bool_] | None


class FitSettings(Frozen):
    """Settings of a training, with the keys of params.yaml."""

    prepare: Prepare
    model: Model
    train: Train
    calibrate: Calibrate


def fit(
    images: Sequence[ImageInput],
    masks: Sequence[MaskInput],
    labels: Sequence[str],
    folder: str | PathLike[str],
    *,
    groups: Sequence[str] | None = None,
    val: float = 0.2,
    settings: Mapping[str, object] | None = None,
    data: str = "own",
    on_epoch: Callable[[EpochFigures], None] | None = None,
) -> TorchPredictor:
    """Train HGM-Net on images, choose its thresholds on a part of them, and write a model folder.

    All images are used: val's figures only serve to choose thresholds. Keep a separate test set,
    with no patient in both.

    Args:
        images: N paths, bytes of files, or pixels (H, W) or (H, W, 3) uint8.
        masks: each image's lesion: a path, bytes of a file (brighter than 127), pixels (H, W) bool
            or uint8 (above 0), or None for no lesion.
        labels: each image's class; `malignant` must be among them, `normal` has no lesion.
        folder: where the model folder is written; an interrupted training resumes from there.
        groups: the patient or scene of each image; a group is never split. None: near-duplicates
            are found and grouped, which can't replace knowing the patients.
        val: the fraction of the images to choose thresholds on, in (0, 0.5].
        settings: changes to the recipe (recipe.yaml) by dotted key, as `{"train.epochs": 60}`.
        data: the data set's name in the model folder.
        on_epoch: called with each epoch's figures on val.

    Returns:
        The trained model, loaded.

    Raises:
        ConfigError: a setting is wrong, or a class has too few images.
        InvalidDataError: an image can't be read, a mask has another size, or there is no malignant
            image.

    Example:
        predictor = hgmnet.fit(images, masks, labels, "model", settings={"train.epochs": 60})
    """
    recipe, path = _recipe(settings or {}), Path(folder)
    if not len(images) == len(masks) == len(labels) == len(groups or images):
        counts = f"{len(images)} images, {len(masks)} masks, {len(labels)} labels"
        raise InvalidDataError(f"expected as many masks, labels and groups as images, got {counts}")
    classes = _classes(data, labels)
    decoded = [read_image(image, f"image {i}") for i, image in enumerate(images)]
    truth = [_mask(mask, one, i) for i, (mask, one) in enumerate(zip(masks, decoded, strict=True))]
    store = _prepared(decoded, truth, labels, groups, recipe=recipe, val=val)
    digest = hashlib.sha256(recipe.model_dump_json().encode())
    digest.update(repr(store.entries).encode())
    digest.update(store.images.tobytes() + store.masks.tobytes())
    mark = digest.hexdigest()
    checkpoints = path / "checkpoints"
    training.quiet_lightning()
    trained = training.fit(
        store,
        data=classes,
        prepare=recipe.prepare,
        model=recipe.model,
        train=recipe.train,
        root=Path(),
        fingerprint=mark,
        checkpoints=checkpoints / mark,
        on_epoch=on_epoch or (lambda _: None),
    )
    save_model(path, trained.network, trained.spec)
    _calibrate(path, trained, store, [one.grey for one in decoded], recipe.calibrate)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return TorchPredictor.load(path, "auto")


def _recipe(settings: Mapping[str, object]) -> FitSettings:
    tree: dict[str, Any] = load_settings(RECIPE, FitSettings, "").model_dump()
    for key, value in settings.items():
        if not change_setting(tree, key, value):
            raise ConfigError(f"settings: there is no {key}; expected one such as train.epochs")
    try:
        return FitSettings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("settings: " + "; ".join(problems(error))) from None


def _classes(data: str, labels: Sequence[str]) -> Data:
    names = tuple(sorted(set(labels)))
    if MALIGNANT not in names or len(names) < 2:
        found = ", ".join(names) or "none"
        raise InvalidDataError(f"labels: expected `{MALIGNANT}` and another class, got {found}")
    try:
        return Data(name=data, classes=names)
    except ValidationError as error:
        raise ConfigError("labels: " + "; ".join(problems(error))) from None


def _mask(mask: MaskInput, image: DecodedFile, row: int) -> Mask:
    shape = image.grey.shape
    if mask is None:
        return np.zeros(shape, dtype=np.bool_)
    grey = mask if isinstance(mask, np.ndarray) else read_image(mask, f"mask {row}").grey
    if grey is not mask and 0 < grey.max() <= 127:
        raise InvalidDataError(
            f"mask {row}: expected a lesion brighter than 127, got values up to {grey.max()}; pass "
            "its pixels, where every value above 0 is lesion"
        )
    found = grey > (0 if grey is mask else 127)
    if found.shape != shape:
        raise InvalidDataError(f"mask {row}: expected the image's size {shape}, got {found.shape}")
    return np.asarray(found)


def numbered(
    decoded: Sequence[DecodedFile], labels: Sequence[str], groups: Sequence[str] | None, split: str
) -> list[PreparedImage]:
    """Entries of images without files; without groups, near-duplicates are grouped."""
    pixels = [pixel_sha256(one.rgb) for one in decoded]
    if groups is None:
        groups = group_near_duplicates([one.grey for one in decoded], pixels)
    return [
        PreparedImage(
            image=str(row),
            masks="",
            pixel_sha256=pixels[row],
            label=labels[row],
            group=groups[row],
            split=split,
            height=one.grey.shape[0],
            width=one.grey.shape[1],
        )
        for row, one in enumerate(decoded)
    ]


def _prepared(
    decoded: Sequence[DecodedFile],
    truth: Sequence[Mask],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    *,
    recipe: FitSettings,
    val: float,
) -> PreparedDataset:
    """Return the images as a prepared data set in memory, split into train and val by group."""
    entries = numbered(decoded, labels, groups, "train")
    if not 0 < val <= 0.5:
        raise ConfigError(f"val: expected a fraction above 0 and up to 0.5, got {val:g}")
    folds = assign_folds(entries, round(1 / val), recipe.train.seed)
    chosen = tuple(
        entry.model_copy(update={"split": "val" if fold == 0 else "train"})
        for entry, fold in zip(entries, folds, strict=True)
    )
    squares = [resize_to_input(one.grey, recipe.prepare) for one in decoded]
    masks = [fit_mask(mask, recipe.prepare) for mask in truth]
    return PreparedDataset(np.stack(squares), np.stack(masks).astype(np.uint8), chosen)


def _calibrate(
    folder: Path,
    trained: training.Trained,
    store: PreparedDataset,
    greys: Sequence[NDArray[np.uint8]],
    aim: Calibrate,
) -> None:
    """Write operating.json and profile.json."""
    from hgmnet.inference.tta import forward_tta

    network, spec = trained.network, trained.spec
    raw = predict_val(
        lambda square: forward_tta(network, spec, square, mirror=aim.mirror, scales=aim.scales),
        store,
    )
    operating = operating_point(raw, store, spec, aim).operating
    save_operating(folder, operating)
    train, val = store.rows("train"), store.rows("val")
    profile = build_profile(
        spec.data,
        statistics=[measure(greys[row]) for row in train],
        statistics_groups=[store.entries[row].group for row in train],
        predictions=(
            postprocess(raw, i, greys[row].shape, spec, operating) for i, row in enumerate(val)
        ),
        prediction_groups=[store.entries[row].group for row in val],
        model=spec.model,
        values={},
    )
    write_text(folder / PROFILE, profile.model_dump_json(indent=2))
