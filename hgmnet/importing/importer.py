"""Import of a source of any format as a data set's raw/, atomically."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from hgmnet.config.base import NORMAL, Frozen
from hgmnet.data import dicom, images, metadata
from hgmnet.data.file_names import printable
from hgmnet.data.image_files import PassedOver, why_no_image
from hgmnet.data.metadata import ImageMetadata
from hgmnet.errors import InvalidDataError
from hgmnet.importing import detect, source_files
from hgmnet.importing.detect import Format, ImportPlan
from hgmnet.importing.planned_image import PlannedImage, check
from hgmnet.importing.source_files import Files


class LaidOut(Frozen):
    """The result of an import.

    `format`: the source's. `per_class`: number of images. `masks`: number of mask files.
    `unmasked`: images of other classes than normal without a mask. `patients`: number of patients.
    `spaced`: images with a known pixel spacing. `left_out`: files that were not imported, images
    first; not listed for a table, whose folder may contain anything.
    """

    format: Format
    per_class: dict[str, int]
    masks: int
    unmasked: int
    patients: int
    spaced: int
    left_out: tuple[PassedOver, ...]


def lay_out(
    source: Path,
    raw: Path,
    form: Format = "auto",
    replace: Callable[[Path, Path], None] | None = None,
) -> LaidOut:
    """Import a source's images: a folder, a .zip or a table.

    Each becomes `<class>/<stem>.png` with `<stem>_mask.png`, `<stem>_mask_1.png`, ...; PNGs are
    copied byte for byte, other formats re-encoded without loss. The source's metadata are written
    to images.csv (`hgmnet.data.metadata`). Once everything is read, `replace(part, raw)` moves the
    new folder `part` to `raw`; default: `replaced`.

    Raises:
        InvalidDataError: the source is missing, broken, unsafe, empty or not of the format, or two
            of its files would get one name.
        ConfigError: it contains DICOM, and pydicom is not installed.
    """
    part = raw.with_name(f".{raw.name}.{os.getpid()}.part")
    restore(raw)
    shutil.rmtree(part, ignore_errors=True)  # of a killed import with this process id
    try:
        with source_files.opened(source) as (files, given):
            plan = detect.plan(files, given, source, form)
            if not plan.pictures:
                raise InvalidDataError(f"{source} names no image; nothing is imported")
            check(plan.pictures, files, source)
            entries = [_bring(picture, files, part) for picture in plan.pictures]
            left_out = () if given else _left_out(plan, files)
        metadata.write(part, entries)
        (replace or _move)(part, raw)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):  # also removes a data set's folder that was empty before
            raw.parent.rmdir()
    per_class = Counter(picture.label for picture in plan.pictures)
    return LaidOut(
        format=plan.format,
        per_class=dict(sorted(per_class.items())),
        masks=sum(len(picture.masks) for picture in plan.pictures),
        unmasked=sum(not p.masks and p.label != NORMAL for p in plan.pictures),
        patients=len({entry.patient for entry in entries if entry.patient}),
        spaced=sum(entry.pixel_mm > 0 for entry in entries),
        left_out=left_out,
    )


def _left_out(plan: ImportPlan, files: Files) -> tuple[PassedOver, ...]:
    used = {path for one in plan.pictures for path in (one.source, *one.masks)}
    others = sorted(path for path in files if path not in used and path != plan.table)
    reasons = {path: why_no_image(path, files[path]) for path in others}
    others.sort(key=lambda path: bool(reasons[path]))
    unused = f"{plan.table} does not name it as an image or a lesion's mask"
    return tuple(PassedOver(printable(path), printable(reasons[path] or unused)) for path in others)


def _bring(picture: PlannedImage, files: Files, part: Path) -> ImageMetadata:
    """Write one image and its masks; its own header supplies metadata that the source lacks."""
    data = files[picture.source]()
    scan = dicom.decode(data, str(picture.source)) if dicom.is_dicom(data) else None
    _write(part / picture.target, scan.png if scan else data, picture.source)
    for mask, target in picture.mask_targets():
        data = files[mask]()
        png = dicom.decode(data, str(mask)).png if dicom.is_dicom(data) else data
        _write(part / target, png, mask)
    return ImageMetadata(
        image=str(picture.target),
        source_name="" if picture.source.name == picture.target.name else printable(picture.source),
        patient=picture.patient or (scan.patient if scan else ""),
        pixel_mm=picture.pixel_mm or (scan.pixel_mm if scan else 0.0),
        further=dict(picture.further),
    )


def _write(target: Path, data: bytes, source: PurePosixPath) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(images.encode_png(data, str(source)))


def _move(part: Path, raw: Path) -> None:
    with replaced(part, raw):
        pass


@contextmanager
def replaced(part: Path, raw: Path) -> Iterator[None]:
    """Replace `raw` by `part` for good if the block ends well; after any error `raw` is restored.

    What is at `raw` where nothing was before stays.
    """
    old = part.with_suffix(".old")
    if raw.exists():
        raw.rename(old)
    try:
        part.rename(raw)
        yield
    except BaseException:
        if old.exists() and raw.exists():
            raw.rename(part)
        restore(raw)
        raise
    restore(raw)


def restore(raw: Path) -> None:
    """Restore the images that a killed import moved aside, or remove those that it replaced.

    Call it while no import of the data set is under way.
    """
    aside = list(raw.parent.glob(f".{raw.name}.*.old"))
    aside.sort(key=lambda path: path.stat().st_ctime_ns)
    if aside and not raw.exists():
        aside.pop().rename(raw)
    for old in aside:
        shutil.rmtree(old, ignore_errors=True)
