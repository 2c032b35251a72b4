"""Import a data set: lay images out as data/<name>/raw and add them to DVC."""

import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

from hgmnet.config.params import load_params
from hgmnet.data import manifest, metadata
from hgmnet.data.atomic import write_text
from hgmnet.data.folder_layout import scan
from hgmnet.data.metadata import HEADER, parse
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.importing import download, importer
from hgmnet.importing.detect import Format
from hgmnet.importing.people_names import like_people
from pipelines.artifacts.paths import Workspace


def summary(found: importer.LaidOut) -> str:
    """Summarise an import: one line per class, then masks, patients and what is missing."""
    lines = [f"{label}: {count} images" for label, count in found.per_class.items()]
    lines.append(f"{found.masks} masks; left out: {len(found.left_out)} files ({found.format})")
    if found.patients or found.spaced:
        known = f"size of a pixel known of {found.spaced} images"
        lines.append(f"{found.patients} patients; {known}")
    if found.unmasked:
        some = f"{found.unmasked} images of a lesion have no mask"
        missing = some if found.masks else "there are no masks"
        lines.append(f"{missing}: validation will ask for them")
    return "\n".join(lines)


def privacy_warning(raw: Path) -> str:
    """Return a line on images whose name, or whose patient's, may be a person's; empty if none."""
    samples = scan(raw)
    patients = [one.patient for one in metadata.read(raw, (s.image for s in samples)).values()]
    stems = [PurePosixPath(sample.image).stem for sample in samples]
    if not (found := [*like_people(stems), *like_people(sorted({*patients} - {""}))]):
        return ""
    return (
        f"warning: {len(found)} names of images or patients may be people's, such as {found[0]!r}. "
        "Names of images go into git (split.csv) and MLflow: rename the files and import again, "
        "or see docs/security.md"
    )


def import_dataset(
    root: Path,
    name: str,
    source: str,
    *,
    source_format: Format = "auto",
    sha256: str = "",
    replace: bool = False,
    unattended: bool = False,
) -> importer.LaidOut:
    """Lay the images of a source out as data/<name>/raw, and add them to DVC.

    `source`: a folder, zip or table, or the https:// address of a file; `sha256`: the file's
    expected hash, 64 lower-case hexadecimal digits, empty for no check. `replace`: replace existing
    images; `unattended`: only if the new ones pass `check_replacement`.

    Raises:
        ConfigError: the name is not allowed, or `dvc add` failed.
        InvalidDataError: there are images already, or the source is not valid.
    """
    space = Workspace(root, name)
    _refuse_unfit(space, replace=replace)

    def accept(folder: Path) -> None:
        if unattended and space.raw.exists():
            check_replacement(space, folder)

    with download.brought(source, space.state / "downloads", sha256) as path:
        found = importer.lay_out(path, space.raw, source_format, accept)
    if not space.curation.exists():
        write_text(space.curation, HEADER)
    _dvc_add(root, f"data/{space.data}/raw")
    return found


def check_replacement(space: Workspace, folder: Path) -> None:
    """Check new images before they replace a data set's own without a person's confirmation.

    At most the fraction `split.max_lost` may be lost, and the new images must pass validation.

    Args:
        space: of the data set of params.yaml.
        folder: the new images, laid out as raw/.

    Raises:
        InvalidDataError: a check failed; the present images stay.
    """
    from pipelines.validation.image_rules import critical_breaches

    params = load_params(space.root / "params.yaml")
    before, after = len(scan(space.raw)), len(scan(folder))
    stay = f"data/{space.data} stays as it is"
    if before - after > params.split.max_lost * before:
        raise InvalidDataError(
            f"{stay}: it has {before} images, the source {after}, so more than "
            f"{params.split.max_lost:.0%} would be gone. If that is intended, type "
            f"`hgmnet import {space.data} ... --replace`, or raise split.max_lost"
        )
    records = manifest.build(folder)
    text = space.curation.read_text("utf-8") if space.curation.exists() else HEADER
    notes = parse(text, "curation.csv", [record.image for record in records])
    excluded = {note.image: note.reason for note in notes if note.exclude}
    known = [r.model_copy(update={"excluded": excluded.get(r.image, "")}) for r in records]
    if broken := critical_breaches(known, params.data, params.validate_):
        raise InvalidDataError("\n".join([*broken, f"the source fails validation; {stay}"]))


def _refuse_unfit(space: Workspace, *, replace: bool) -> None:
    name, raw = space.data, space.raw
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ConfigError(
            f"{name!r} can't name a data set; expected a-z, 0-9, - and _, as in my-clinic"
        )
    if (space.folder / "dvc.yaml").is_file():
        raise ConfigError(f"data/{name} is generated by its own dvc.yaml; choose another name")
    there = [path for path in (raw, raw.with_name("raw.dvc")) if path.exists()]
    if there and not replace:
        raise InvalidDataError(
            f"{there[0]} is there already; import under another name, or add --replace"
        )


def _dvc_add(root: Path, folder: str) -> None:
    bin_first = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    added = subprocess.run(
        [sys.executable, "-m", "dvc", "add", folder],
        cwd=root,
        env=os.environ | {"PATH": bin_first},
        capture_output=True,
        text=True,
        check=False,
    )
    if added.returncode:
        errors = [line for line in added.stderr.splitlines() if line.startswith("ERROR")]
        why = " ".join(errors) or " ".join(added.stderr.split()[-20:])
        raise ConfigError(
            f"the images are in {folder}, but DVC failed: {why}; fix it, then: dvc add {folder}"
        )
