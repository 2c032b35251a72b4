"""Stage prepare: resample every image of the split and its mask once, into arrays."""

from pathlib import Path

from hgmnet.config.data import Data, Prepare
from hgmnet.data.image_record import ImageRecord
from hgmnet.data.images import read_grey
from hgmnet.data.masks import read_truth
from hgmnet.data.prepared import PreparedImage, write_store
from hgmnet.data.progress import progress
from hgmnet.data.resize import fit_mask, resize_to_input
from hgmnet.models.image_size import check_size
from hgmnet.splitting.split_lock import ActiveImage, SplitRow, active_images
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace


def run(root: Path, data: Data, prepare: Prepare) -> None:
    """Write data/<name>/prepared.

    Raises:
        ConfigError: the encoders don't support the edge length `prepare.side`, px.
        InvalidDataError: an image has no row in split.csv, or can't be read.
    """
    check_size(prepare.side)
    workspace = Workspace(root, data.name)
    rows = read_rows(workspace.split_csv, SplitRow)
    images = active_images(rows, read_rows(workspace.manifest, ImageRecord))
    entries = tuple(map(_entry, images))
    squares = (
        (
            resize_to_input(read_grey(workspace.raw, entry.image), prepare),
            fit_mask(read_truth(workspace.raw, entry), prepare),
        )
        for entry in progress(entries, "resampling")
    )
    write_store(workspace.prepared, entries, prepare.side, squares)


def _entry(image: ActiveImage) -> PreparedImage:
    known = image.record.model_dump(include={"image", "pixel_sha256", "label", "height", "width"})
    masks = "|".join(image.record.masks)
    return PreparedImage(masks=masks, group=image.row.group, split=image.row.status, **known)
