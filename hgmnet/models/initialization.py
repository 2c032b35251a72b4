"""Initial weights of a network: random, an encoder's file, or another model's."""

from pathlib import Path

from torch import Tensor

from hgmnet.config.model import File
from hgmnet.errors import ConfigError, few
from hgmnet.models.encoders import load_encoder_weights, say_missing
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.serialization import load_model
from hgmnet.models.spec import Spec, identity

_CLASSIFIER = "classifier."


def warm_encoders(network: HGMNet, root: Path) -> None:
    """Load a file of `model.encoder_weights` in each encoder; raises as `load_encoder_weights`."""
    file = network.model.encoder_weights
    if isinstance(file, File):
        missing = [load_encoder_weights(encoder, file, root) for encoder in network.encoders()]
        say_missing(file, missing[0])


def start_from(network: HGMNet, parent: File, *, classes: tuple[str, ...], root: Path) -> Spec:
    """Load the weights of a model trained before, possibly on another data set.

    If its classes differ, the classifier stays random. `parent`: a model folder below `root`, its
    `sha256` from `hgmnet.models.spec.identity`. Returns the parent's spec.

    Raises:
        ConfigError: the folder is missing, damaged, another model, an ensemble, or of another
            architecture.
    """
    folder = root / parent.path
    if not folder.is_dir():
        raise ConfigError(
            f"train.init_from: there is no folder {folder}; put the model there, or set "
            "init_from: none"
        )
    sha256 = identity(folder)
    if sha256 != parent.sha256:
        raise ConfigError(
            f"train.init_from: the model in {parent.path} is {sha256}, params.yaml has "
            f"{parent.sha256}"
        )
    known, spec = load_model(folder)
    if spec.members > 1:
        raise ConfigError(
            f"train.init_from: {parent.path} is an ensemble of {spec.members} networks; start from "
            "a model of one"
        )
    state: dict[str, Tensor] = known.state_dict()
    if spec.classes != classes:
        state = {key: value for key, value in state.items() if not key.startswith(_CLASSIFIER)}
    own = network.state_dict()
    wanted = {key for key in own if spec.classes == classes or not key.startswith(_CLASSIFIER)}
    differ = [key for key in wanted & state.keys() if own[key].shape != state[key].shape]
    if problems := sorted(differ) + sorted(wanted ^ state.keys()):
        raise ConfigError(
            f"train.init_from: {parent.path} has another architecture than `model`, see "
            f"{few(problems)}; give `model` the values that its model.json has"
        )
    network.load_state_dict(state, strict=False)
    return spec
