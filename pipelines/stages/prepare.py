"""Stage prepare: resample every live image and its mask once, into arrays."""

from pathlib import Path

import numpy as np

from hgmnet.config.data import Data, Prepare
from hgmnet.data.image_record import ImageRecord
from hgmnet.data.images import read_grey
from hgmnet.data.masks import read_mask
from hgmnet.data.prepared import PreparedImage, write_store
from hgmnet.data.resize import Grey, Mask, fit_mask, resize_to_input
from hgmnet.models.image_size import check_size
from hgmnet.splitting.split_lock import ActiveImage, SplitRow, active_images
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace


def run(root: Path, data: Data, prepare: Prepare) -> None:
    """Write data/<name>/prepared.

    Raises:
        ConfigError: the encoders can't take the image side.
        InvalidDataError: an image has no row in split.csv, or can't be read any more.
    """
    check_size(prepare.side)
    workspace = Workspace(root, data.name)
    rows = read_rows(workspace.split_csv, SplitRow)
    images = active_images(rows, read_rows(workspace.manifest, ImageRecord))
    squares = (_square(workspace.raw, image.record, prepare) for image in images)
    write_store(workspace.prepared, tuple(map(_entry, images)), prepare.side, squares)


def _square(raw: Path, record: ImageRecord, prepare: Prepare) -> tuple[Grey, Mask]:
    image = read_grey(raw, record.image)
    if not record.masks:
        empty = np.zeros(image.shape, dtype=np.bool_)
        return resize_to_input(image, prepare), fit_mask(empty, prepare)
    mask = read_mask([raw / name for name in record.masks])
    return resize_to_input(image, prepare), fit_mask(mask, prepare)


def _entry(image: ActiveImage) -> PreparedImage:
    record = image.record
    return PreparedImage(
        image=record.image,
        masks="|".join(record.masks),
        pixel_sha256=record.pixel_sha256,
        label=record.label,
        group=image.row.group,
        split=image.row.status,
        height=record.height,
        width=record.width,
    )
