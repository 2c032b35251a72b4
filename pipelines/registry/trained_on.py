"""Which registered versions were trained, tuned or judged on an image or a patient."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hgmnet.data.image_record import ImageRecord
from hgmnet.errors import HgmnetError
from hgmnet.splitting.split_lock import SplitRow
from pipelines.artifacts.io import read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.registry.evidence import fetch_evidence
from pipelines.registry.tracking_store import TrackingStore
from pipelines.registry.versions import find_version, models_of


@dataclass(frozen=True)
class ImageUse:
    """How a version used the images that were asked for: (image, split), empty for none.

    `unknown`: why that is not known; empty where it is.
    """

    version: str
    images: tuple[tuple[str, str], ...] = ()
    unknown: str = ""


def image_uses(
    store: TrackingStore, name: str, wanted: Callable[[ImageRecord], bool]
) -> Iterator[ImageUse]:
    """Yield the use of images in each version, newest first, from its verified evidence."""
    for number in sorted(models_of(store, name), key=int, reverse=True):
        version = find_version(store, name, number)
        with TemporaryDirectory(prefix="hgmnet-") as folder:
            try:
                root = fetch_evidence(store, version, Path(folder))
                space = Workspace(root, version.tags["hgmnet.data"])
                records = [one for one in read_rows(space.manifest, ImageRecord) if wanted(one)]
                rows = read_rows(space.split_csv, SplitRow)
            except HgmnetError as error:
                yield ImageUse(number, unknown=str(error))
                continue
        splits = {(row.pixel_sha256, row.name): row.status for row in rows}
        yield ImageUse(
            number,
            tuple((one.image, splits.get((one.pixel_sha256, one.name), "none")) for one in records),
        )
