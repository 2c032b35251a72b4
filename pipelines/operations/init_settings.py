"""Write params.yaml and a change plan for an imported data set: `hgmnet init`."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from hgmnet.config.base import MALIGNANT
from hgmnet.config.change_plan import load_plans
from hgmnet.config.evaluation import Check
from hgmnet.config.params import Params, load_params
from hgmnet.data.atomic import atomic
from hgmnet.data.folder_layout import scan
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.splitting.split_lock import Lock, SplitRow
from pipelines.artifacts.io import read_json, read_rows
from pipelines.artifacts.paths import Workspace
from pipelines.gate.checks import images_for
from pipelines.gate.settings import faults
from pipelines.operations.doctor import gpus
from pipelines.operations.run_overrides import settings_file
from pipelines.system.git import git

_SURE = 0.8
"""Share of the expected test images that a split surely has: groups are assigned whole."""
_LEAST = 10
"""Images of a class below which validation refuses the data set, whatever it has."""
_WRITTEN_BY_PEOPLE = ("modifications", "protocol", "impact")


@contextmanager
def edited_yaml(path: Path, target: Path | None = None) -> Iterator[Any]:
    """Yield a YAML file's tree, and write it back when the block ends; comments and order stay.

    `target`: another file to write to.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    tree = yaml.load(path.read_text(encoding="utf-8"))
    yield tree
    with atomic(target or path) as part, part.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def init_settings(root: Path, name: str, profile: str | None, *, force: bool) -> str:
    """Write params.yaml from a profile, and a plan of its registry.name into pccp.yaml.

    A profile of this data set is copied. In another, data.name, data.classes, registry.name, the
    number of images that checks need and validate.min_per_class are adapted to the images; checks
    that no image can enter are removed. Comments stay. An existing plan is not changed.

    Args:
        root: the repository; the caller is within `run_overrides.alone`.
        name: the data set.
        profile: name of the profile; None: the data set's own, else that for this machine.
        force: replace a params.yaml that is neither a profile nor committed.

    Returns:
        What was written, and the next step, in one line.

    Raises:
        ConfigError: there is no such profile, params.yaml would be lost, or pccp.yaml is invalid or
            has a plan of this name that the settings breach.
        InvalidDataError: there are no such images, or none is malignant.
    """
    space, params = Workspace(root, name), root / "params.yaml"
    source = settings_file(root, profile or _nearest(root, name))
    given = load_params(source)
    about, counts = "as it is", {}
    with atomic(params) as part:
        if given.data.name == name:
            shutil.copyfile(source, part)
        else:
            images = _images_by_class(space)
            counts = _test_images(space, given, images)
            _adapt(source, part, name, images, counts)
            test = sum(counts.values())
            about = f"for {name} ({', '.join(images)}; about {test:.0f} test images)"
        if not force:
            _refuse_loss(root, part.read_text(encoding="utf-8"))
        wanted = load_params(part)
        planned = _add_plan(space, given.registry.name, wanted, counts)
        if found := list(faults(load_plans(space.change_plan), wanted, None, strict=True)):
            raise ConfigError("; ".join(found))
    return f"params.yaml: {source.relative_to(root)} {about}; pccp.yaml: {planned}. Next: dvc repro"


def _nearest(root: Path, name: str) -> str:
    """Name of the data set's own profile, or of the one for this machine."""
    profiles = sorted((root / "profiles").glob("*.yaml"))
    own = [path.stem for path in profiles if load_params(path).data.name == name]
    usual = "busi" if gpus() else "busi-cpu"
    return usual if usual in own or not own else own[0]


def _refuse_loss(root: Path, new: str) -> None:
    params = root / "params.yaml"
    now = params.read_text(encoding="utf-8") if params.exists() else ""
    known = [path.read_text(encoding="utf-8") for path in (root / "profiles").glob("*.yaml")]
    if now in ("", new, *known) or now.strip() == git(
        root, "show", "HEAD:./params.yaml", allowed=(0, 128)
    ):
        return
    raise ConfigError(
        "params.yaml has changes that are in no commit, and would be lost; commit it, or add "
        "--force"
    )


def _images_by_class(space: Workspace) -> dict[str, int]:
    images = dict(sorted(Counter(sample.label for sample in scan(space.raw)).items()))
    if MALIGNANT not in images or len(images) < 2:
        raise InvalidDataError(
            f"{space.raw} has the classes {', '.join(images)}; expected `{MALIGNANT}` and another: "
            f"hgmnet import {space.data} <source> --replace --map <theirs>={MALIGNANT},..."
        )
    return images


def _test_images(space: Workspace, given: Params, images: Mapping[str, int]) -> dict[str, float]:
    """Test images by class: of the split, or those that a new one surely has."""
    if space.split_csv.exists():
        rows = read_rows(space.split_csv, SplitRow)
        found = Counter(row.label for row in rows if row.status == "test")
        return {label: float(found[label]) for label in images}
    share = _SURE * given.split.fractions.test
    return {label: share * count for label, count in images.items()}


def _adapt(
    source: Path, target: Path, name: str, images: Mapping[str, int], counts: Mapping[str, float]
) -> None:
    with edited_yaml(source, target) as tree:
        tree["data"]["name"] = name
        tree["data"]["classes"][:] = images
        tree["registry"]["name"] = f"hgmnet-{name}"
        tree["registry"]["approval"] = True
        least = tree["validate"]["min_per_class"]
        tree["validate"]["min_per_class"] = min(least, max(_LEAST, min(images.values())))
        _fit_checks(tree["gate"]["checks"], counts)
        if (lock := Workspace(target.parent, name).split_json).exists():
            locked = read_json(lock, Lock)
            tree["split"]["seed"] = locked.seed
            tree["split"]["fractions"].update(locked.fractions.model_dump())
    head = f"# {name}, by `hgmnet init` from {source.name}, whose own comment follows.\n"
    target.write_text(head + target.read_text(encoding="utf-8"), encoding="utf-8")


def _fit_checks(checks: Any, counts: Mapping[str, float]) -> None:
    """Remove checks without images, and lower `min_n` to what the test split surely has."""
    for check in list(checks):
        most = images_for(Check.model_validate(dict(check)), counts)
        if not most:
            checks.remove(check)
        check["min_n"] = min(check["min_n"], max(1, int(most)))


def _add_plan(space: Workspace, copied: str, wanted: Params, counts: Mapping[str, float]) -> str:
    """Add a plan for `wanted.registry.name` like the plan `copied`, unless there is one."""
    name, known = wanted.registry.name, load_plans(space.change_plan).plans
    if name in known:
        return f"the plan of {name} stays"
    if copied not in known:
        raise ConfigError(f"pccp.yaml has no plan {copied} to copy; git checkout pccp.yaml")
    classes = sorted(wanted.data.classes)
    with edited_yaml(space.change_plan) as tree:
        plan = deepcopy(tree["plans"][copied])
        for part in _WRITTEN_BY_PEOPLE:
            plan.pop(part, None)
        plan["intended_use"] = (
            "Research: to outline lesions in B-mode ultrasound images of the breast, and to tell "
            f"{', '.join(classes[:-1])} and {classes[-1]} images apart. Not to inform the care of "
            "any patient."
        )
        plan["allowed"]["data"]["sets"][:] = [wanted.data.name]
        plan["fixed"]["classes"][:] = classes
        plan["fixed"]["input"]["modality"] = "B-mode ultrasound of the breast"
        plan["revalidate"]["new_values_in"][:] = []
        _fit_checks(plan["acceptance"], counts)
        tree["plans"][name] = plan
        about = f"By `hgmnet init`, like {copied}; {', '.join(_WRITTEN_BY_PEOPLE)} are for a person"
        tree["plans"].yaml_set_comment_before_after_key(name, before=f"\n{about}", indent=2)
    return f"a plan for {name}, which a person completes (docs/gate.md)"
