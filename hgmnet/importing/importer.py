"""Import of a source of any format as a data set's raw/, atomically."""

import os
import shutil
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from pydantic import Field

from hgmnet.config.base import NORMAL, Frozen
from hgmnet.data import images, metadata
from hgmnet.data.file_names import printable
from hgmnet.data.image_files import PassedOver, why_no_image
from hgmnet.data.images import ImageFile, UnknownDepthError
from hgmnet.data.metadata import ImageMetadata
from hgmnet.data.progress import progress
from hgmnet.data.reader import open_image
from hgmnet.errors import InvalidDataError
from hgmnet.importing import detect, source_files
from hgmnet.importing.detect import Format, ImportPlan
from hgmnet.importing.mask_reader import MaskOptions, MaskReader
from hgmnet.importing.planned_image import PlannedImage, check, mapped
from hgmnet.importing.source_files import Files


class ImportOptions(Frozen):
    """How files become images.

    `frames`: which frames of a file of several become images; by default it is refused. `bits`:
    depth of pixels of 16 bits whose file declares none; 0 for the smallest that holds all of them.
    `masks`: which values of masks are a lesion; by default others than 0 and 255 are refused.
    `classes`: new name by class of the source.
    """

    frames: Literal["", "first", "middle", "all"] = ""
    bits: int = 0
    masks: MaskOptions = MaskOptions()
    classes: dict[str, str] = Field(default_factory=dict)


AS_IT_IS = ImportOptions()


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
    put: Callable[[Path, Path], None] | None = None,
    options: ImportOptions = AS_IT_IS,
    *,
    needed: str = "",
) -> LaidOut:
    """Import a source's images: a folder, a .zip or a table.

    Each becomes `<class>/<stem>.png` with `<stem>_mask.png`, `<stem>_mask_1.png`, ...; PNGs are
    copied byte for byte if they are upright, of one frame, and of a known depth; others are
    re-encoded without loss. The source's metadata are written to images.csv
    (`hgmnet.data.metadata`). Once everything is read, `put(part, raw)` moves the new folder `part`
    to `raw`; default: `replaced`. `needed`: a class that some image must have; empty for none.

    Raises:
        InvalidDataError: the source is missing, broken, unsafe, empty or not of the format, or two
            of its files would get one name, or its classes are not as in `mapped`.
        ConfigError: it contains DICOM, and pydicom is not installed.
    """
    with staged(raw) as part:
        with source_files.opened(source) as (files, given):
            plan = detect.plan(files, given, source, form)
            if not plan.pictures:
                raise InvalidDataError(f"{source} names no image; nothing is imported")
            pictures = mapped(plan.pictures, options.classes)
            plan = replace(plan, pictures=tuple(pictures))
            drawn = cast("Files", ChainMap(cast("Any", plan.made), cast("Any", files)))
            check(plan.pictures, drawn, source, needed)
            entries = _bring(plan.pictures, drawn, part, options)
            left_out = () if given else _left_out(plan, files)
        metadata.write(part, entries)
        (put or _move)(part, raw)
    per_class = Counter(PurePosixPath(entry.image).parts[0] for entry in entries)
    return LaidOut(
        format=plan.format,
        per_class=dict(sorted(per_class.items())),
        masks=sum(len(picture.masks) for picture in plan.pictures),
        unmasked=sum(not p.masks and p.label != NORMAL for p in plan.pictures),
        patients=len({entry.patient for entry in entries if entry.patient}),
        spaced=sum(entry.pixel_mm > 0 for entry in entries),
        left_out=left_out,
    )


def _bring(
    pictures: Sequence[PlannedImage], files: Files, part: Path, options: ImportOptions
) -> list[ImageMetadata]:
    """Write all images and their masks.

    Those of an unknown depth come last, when the largest value of all is known: one depth for all
    keeps the contrast between them.
    """
    entries: list[ImageMetadata] = []
    waiting, largest = [], 0
    masks = MaskReader(files, options.masks)
    for picture in progress(pictures, "importing"):
        file = open_image(files[picture.source](), str(picture.source))
        try:
            entries += list(_write(picture, file, masks, part, options))
        except UnknownDepthError:
            waiting.append(picture)
        largest = max(largest, file.undeclared)
    known = options.model_copy(update={"bits": images.depth_of(largest)})
    for picture in waiting:
        file = open_image(files[picture.source](), str(picture.source))
        entries += _write(picture, file, masks, part, known)
    masks.refuse_odd()
    names = Counter(entry.image.casefold() for entry in entries)
    if twice := [entry.image for entry in entries if names[entry.image.casefold()] > 1]:
        raise InvalidDataError(
            f"{twice[0]} is the name of a frame and of another image; rename one"
        )
    return entries


def _left_out(plan: ImportPlan, files: Files) -> tuple[PassedOver, ...]:
    used = {path for one in plan.pictures for path in (one.source, *one.masks)}
    others = sorted(path for path in files if path not in used and path not in plan.tables)
    reasons = {path: why_no_image(path, files[path]) for path in others}
    others.sort(key=lambda path: bool(reasons[path]))
    by = plan.tables[0] if plan.tables else plan.format
    unused = f"{by} does not name it as an image or a lesion's mask"
    return tuple(PassedOver(printable(path), printable(reasons[path] or unused)) for path in others)


def _write(
    picture: PlannedImage, file: ImageFile, masks: MaskReader, part: Path, options: ImportOptions
) -> Iterator[ImageMetadata]:
    """Write an image, or one per frame; the file supplies metadata that the source lacks."""
    clip = len(file) > 1 and options.frames == "all"
    for frame in _chosen(file, options):
        one = replace(picture, stem=f"{picture.stem}_f{frame + 1:04}") if clip else picture
        target = part / one.target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.png(frame, options.bits))
        for mask, place in one.mask_targets():
            (part / place).write_bytes(masks.png(mask, frame, len(file), clip=clip))
        yield ImageMetadata(
            image=str(one.target),
            source_name=printable(picture.source) if picture.source.name != one.target.name else "",
            patient=picture.patient or file.patient,
            pixel_mm=picture.pixel_mm or file.pixel_mm,
            further={**picture.further, **({metadata.CLIP: file.name} if clip else {})},
        )


def _chosen(file: ImageFile, options: ImportOptions) -> Sequence[int]:
    count = len(file)
    if count > 1 and not options.frames:
        raise InvalidDataError(
            f"{file.name} has {count} frames; choose which become images: --frames first, middle "
            "or all (of one group)"
        )
    chosen = {"first": [0], "middle": [count // 2], "all": range(count)}
    return chosen[options.frames] if count > 1 else [0]


@contextmanager
def staged(raw: Path) -> Iterator[Path]:
    """A folder beside `raw` for new images, to be moved to `raw`; removed at the end if it stayed.

    What killed imports left is cleared up first, so only one may be under way.
    """
    part = raw.with_name(f".{raw.name}.{os.getpid()}.part")
    restore(raw)
    for left in raw.parent.glob(f".{raw.name}.*.part"):  # of killed imports
        shutil.rmtree(left, ignore_errors=True)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):  # also removes a data set's folder that was empty before
            raw.parent.rmdir()


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
