"""Load a registered version: the one way from a name or alias to the model that was judged.

Alias, last decision of the verified history, version, download, comparison with the registered
hash, known answers: what differs at any step is refused.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities.model_registry import ModelVersion

from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError
from hgmnet.inference.predictor import TorchPredictor
from hgmnet.models.spec import identity
from pipelines.registry.aliases import RegistryState, deleted, moved_by_hand, registry_state
from pipelines.registry.download import download
from pipelines.registry.history import chain_fault
from pipelines.registry.known_answers import FILE, first_difference, installed_code
from pipelines.registry.tracking_store import TrackingStore
from pipelines.registry.versions import (
    ANCHOR,
    ANSWERS,
    CHAMPION,
    CODE_TAG,
    MODEL,
    find_version,
)

AS_REGISTERED, AGREES, UNBOUND = "as registered", "changed, known answers agree", "unbound"
"""How the installed code relates to a version's own; unbound: an earlier release recorded none."""


@dataclass(frozen=True)
class RegisteredModel:
    """A registered version whose copy on this machine is the model that was judged.

    `folder`: the model folder. `code`: as in `AS_REGISTERED`. `remark`: what is wrong with the
    alias, for which the last decision's version was taken instead; empty for nothing.
    """

    name: str
    number: str
    folder: Path
    code: str
    remark: str = ""


def load_version(
    store: TrackingStore, name: str, which: str | None, cache: Path
) -> RegisteredModel:
    """Find a version, copy it to the cache if missing or damaged, and verify it.

    Args:
        store: the tracking store.
        name: the registered model.
        which: a version number or an alias; None for the champion.
        cache: folder of the copies, one per model hash.

    Raises:
        ConfigError: there is no such version, or no champion.
        InvalidDataError: the history is broken; the version has no recorded model hash, another
            one than was decided on, or other weights; or its answers differ with this code.
    """
    now = registry_state(store, name)
    number, remark = resolve(now, name, which)
    version = find_version(store, name, number)
    wanted = now.models[number]
    if not wanted:
        raise InvalidDataError(
            f"{name} version {number} was not registered by hgmnet (it has no tag {MODEL}); "
            "choose another: `hgmnet versions`"
        )
    if (decided := now.decided_model(number)) not in {"", wanted}:
        raise InvalidDataError(
            f"{name} version {number} was decided on as model {decided[:12]}, but MLflow names "
            f"model {wanted[:12]}; see `hgmnet history`"
        )
    folder = _copy(store, version, wanted, cache)
    return RegisteredModel(name, number, folder, _code(version, folder), remark)


def champion_of(now: RegistryState, name: str) -> tuple[str, str]:
    """Return the version that serves, empty for none, and what is wrong with its alias.

    An alias that a person moved by hand is not followed: the last decision's version serves.

    Raises:
        InvalidDataError: the chain of decisions is broken.
    """
    if fault := chain_fault(now.links):
        raise InvalidDataError(f"the history of {name} is broken: {fault}")
    fault = moved_by_hand(now) or deleted(now)
    if fault is None:
        return now.champion, ""
    entry = now.decided[-1]
    number = entry.champion if entry else ""
    return (number if now.has(number) else ""), f"{fault}; see `hgmnet history`"


def resolve(now: RegistryState, name: str, which: str | None) -> tuple[str, str]:
    """Return the version number of a number or alias (None: the champion), and a remark.

    Raises:
        ConfigError: there is no such version or alias.
        InvalidDataError: as `champion_of`; the anchor was moved by hand.
    """
    if which in {None, CHAMPION}:
        number, remark = champion_of(now, name)
        if not number:
            advice = "`hgmnet promote`, or name a version (`hgmnet versions` lists them)"
            raise ConfigError(remark or f"{name} has no champion yet; {advice}")
        return number, remark
    if which in now.models:
        return str(which), ""
    if which == ANCHOR and (fault := chain_fault(now.links) or moved_by_hand(now)):
        raise InvalidDataError(f"the history of {name} is broken: {fault}")
    if which in now.aliases:
        return now.aliases[str(which)], ""
    kind = "version" if str(which).isdigit() else "alias"
    raise ConfigError(f"{name} has no {kind} {which}; `hgmnet versions` lists them")


def _copy(store: TrackingStore, version: ModelVersion, wanted: str, cache: Path) -> Path:
    """Return the verified copy; download it if it is missing or damaged."""
    folder = cache / wanted
    if _holds(folder, wanted, version):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix="part-") as part:
        fetched = download(store, version, Path(part))
        if not _holds(fetched, wanted, version):
            raise InvalidDataError(
                f"{version.name} version {version.version}: MLflow's files are not those of model "
                f"{wanted[:12]}, which was registered; restore them from a backup, or serve "
                "another version"
            )
        for attempt in range(5):  # another process may do the same at the same time
            if _holds(folder, wanted, version):
                return folder
            with suppress(OSError):
                folder.rename(Path(part) / f"damaged {attempt}")
            with suppress(OSError):
                fetched.rename(folder)
    if not _holds(folder, wanted, version):
        raise ConfigError(f"{folder} is damaged and can't be replaced; remove it")
    return folder


def _holds(folder: Path, wanted: str, version: ModelVersion) -> bool:
    """Whether the folder is the model, with the version's known answers if it has any."""
    return _identity(folder) == wanted and _answers(folder, version) is not None


def _identity(folder: Path) -> str:
    """Hash of a model folder; empty where a file is missing or can't be read."""
    with suppress(HgmnetError, OSError):
        return identity(folder)
    return ""


def _answers(folder: Path, version: ModelVersion) -> str | None:
    """Known answers in the folder: empty if the version has none, None if they are not its own."""
    if not (wanted := version.tags.get(ANSWERS, "")):
        return ""
    with suppress(OSError):
        content = (folder / FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() == wanted:
            return content.decode("utf-8")
    return None


def _code(version: ModelVersion, folder: Path) -> str:
    """Compare the installed code with the version's; InvalidDataError: known answers differ."""
    answers = _answers(folder, version)
    if not answers:
        return UNBOUND
    if version.tags.get(CODE_TAG) == installed_code():
        return AS_REGISTERED
    if gap := first_difference(TorchPredictor.load(folder), answers):
        raise InvalidDataError(
            f"{version.name} version {version.version} predicts differently with the installed "
            f"code than with its own ({gap}); check out its commit "
            f"{version.tags.get('hgmnet.git_commit', 'unknown')[:7]}, or register the model again"
        )
    return AGREES
