"""Import a data set: lay images out as data/<name>/raw and add them to DVC."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from hgmnet.config.base import MALIGNANT
from hgmnet.config.params import load_params
from hgmnet.data import manifest, metadata
from hgmnet.data.atomic import write_text
from hgmnet.data.folder_layout import scan
from hgmnet.data.image_files import PASSED_OVER, passed_over_text, write_passed_over
from hgmnet.data.metadata import HEADER, read_notes
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.importing import download, importer
from hgmnet.importing.detect import Format
from hgmnet.importing.people_names import like_people
from pipelines.artifacts.io import read_json, write_json
from pipelines.artifacts.paths import Workspace
from pipelines.operations.run_overrides import alone
from pipelines.system import dvc


def summary(found: importer.LaidOut, table: Path) -> str:
    """Summarise an import: one line per class, then masks, files that were passed over, patients.

    `table`: the file that names every file that was passed over.
    """
    lines = [f"{label}: {count} images" for label, count in found.per_class.items()]
    lines.append(f"{found.masks} masks ({found.format})")
    if found.left_out:
        lines.append(passed_over_text(found.left_out, table))
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
    known = metadata.read(raw, (sample.image for sample in samples)).values()
    stems = [PurePosixPath(sample.image).stem for sample in samples]
    folders = {str(PurePosixPath(one.source_name).parent) for one in known}
    further = ({one.patient for one in known}, folders)
    if not (found := [n for names in (stems, *map(sorted, further)) for n in like_people(names)]):
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
    max_gib: float = download.MAX_GIB,
    replace: bool = False,
    unattended: bool = False,
    options: importer.ImportOptions = importer.AS_IT_IS,
) -> importer.LaidOut:
    """Lay the images of a source out as data/<name>/raw, and add them to DVC.

    `source`: a folder, zip or table, or the https:// address of a file; `sha256`: the file's
    expected hash, 64 lower-case hexadecimal digits, empty for no check. `max_gib`: largest size of
    a download. `options`: which frames and masks, and their depth. `replace`: replace existing
    images, which are restored if a step fails; `unattended`: by the options of the last import, and
    only if the new images pass `check_replacement`. The caller is then within
    `run_overrides.alone`.

    Raises:
        ConfigError: the name is not allowed, a run, a dvc command or another import uses the data
            set, or `dvc add` failed.
        InvalidDataError: there are images already, or the source is not valid.
    """
    space = Workspace(root, name)

    def put(part: Path, raw: Path) -> None:
        if unattended and raw.exists():
            check_replacement(space, part)
        put_raw(space, part)

    with ExitStack() as stack:
        if replace and not unattended:
            stack.enter_context(alone(root, f"hgmnet import {name} --replace"))
        stack.enter_context(importing(space, replace=replace))
        folder = space.state / "downloads"
        path = stack.enter_context(download.brought(source, folder, sha256, max_gib))
        known = passed_over(root, name).with_name("options.json")
        if unattended and known.exists():
            options = read_json(known, importer.ImportOptions)
        needed = "" if unattended else MALIGNANT  # then `check_replacement` has its own message
        found = importer.lay_out(path, space.raw, source_format, put, options, needed=needed)
        write_passed_over(passed_over(root, name), found.left_out)
        write_json(known, options)
        return found


@contextmanager
def importing(space: Workspace, *, replace: bool) -> Iterator[None]:
    """Let nothing else import the data set during the block; raises as `import_dataset`."""
    _refuse_unfit_name(space)
    space.state.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(space.state / f"import-{space.data}.lock", timeout=0))
        except Timeout:
            msg = f"another import of {space.data} is under way; wait for its end"
            raise ConfigError(msg) from None
        _refuse_present(space, replace=replace)
        if space.raw.exists():
            with dvc.unused(space.root, space.folder):  # before hours of reading
                pass
        yield


def put_raw(space: Workspace, part: Path) -> None:
    """Make the folder `part` the data set's raw/, add it to DVC, and write an empty curation.csv.

    The caller is within `importing`. After an error the earlier images are there again.
    """
    with ExitStack() as stack:
        earlier = space.raw.exists()
        with dvc.unused(space.root, space.folder):
            stack.enter_context(importer.replaced(part, space.raw))
        if not space.curation.exists():
            write_text(space.curation, HEADER)
        _dvc_add(space.root, f"data/{space.data}/raw", earlier)


def passed_over(root: Path, name: str) -> Path:
    """Path of the table of files that the data set's last import passed over."""
    return Workspace(root, name).state / "imports" / name / PASSED_OVER


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
    names = [record.image for record in records]
    notes = read_notes(space.curation, names) if space.curation.exists() else []
    excluded = {note.image: note.reason for note in notes if note.exclude}
    known = [r.model_copy(update={"excluded": excluded.get(r.image, "")}) for r in records]
    if broken := critical_breaches(known, params.data, params.validate_):
        raise InvalidDataError("\n".join([*broken, f"the source fails validation; {stay}"]))


def _refuse_unfit_name(space: Workspace) -> None:
    name = space.data
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", name):
        raise ConfigError(
            f"{name[:120]!r} can't name a data set; expected up to 100 of a-z, 0-9, - and _, as in "
            "my-clinic"
        )
    if (space.folder / "dvc.yaml").is_file():
        raise ConfigError(f"data/{name} is generated by its own dvc.yaml; choose another name")


def _refuse_present(space: Workspace, *, replace: bool) -> None:
    raw = space.raw
    there = [path for path in (raw, raw.with_name("raw.dvc")) if path.exists()]
    if there and not replace:
        raise InvalidDataError(
            f"{there[0]} is there already; import under another name, or add --replace"
        )


def _dvc_add(root: Path, folder: str, earlier: bool) -> None:
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
        if earlier:
            raise ConfigError(
                f"DVC failed: {why}; the earlier images are in {folder} again; fix it, then run "
                "the same command again"
            )
        raise ConfigError(
            f"the images are in {folder}, but DVC failed: {why}; fix it, then: dvc add {folder}"
        )
