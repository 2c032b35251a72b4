"""Model folder: all files to rebuild a trained HGM-Net, without pickle or network access.

`weights.safetensors` and `model.json` are written by training, `operating.json` and
`profile.json` by calibration.
"""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch.overrides import TorchFunctionMode

from hgmnet.errors import ConfigError
from hgmnet.models.ensemble import Network, joined
from hgmnet.models.hgmnet import HGMNet
from hgmnet.models.spec import OPERATING, SPEC, WEIGHTS, Operating, Spec, load_spec


def save_model(folder: Path, network: Network, spec: Spec) -> None:
    """Write weights.safetensors and model.json."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    _replace(folder / WEIGHTS, save(state))
    _replace(folder / SPEC, spec.model_dump_json(indent=2).encode())


def save_operating(folder: Path, operating: Operating) -> None:
    """Write operating.json."""
    _replace(folder / OPERATING, operating.model_dump_json(indent=2).encode())


def load_model(path: str | PathLike[str]) -> tuple[Network, Spec]:
    """Rebuild the network, in evaluation mode on the CPU, from weights.safetensors and model.json.

    Raises:
        ConfigError: a file is missing, damaged, or of another format version.
    """
    folder = Path(path)
    spec = load_spec(folder)
    bare = spec.model.model_copy(update={"encoder_weights": "none"})
    with _WithoutStart():
        network = joined([HGMNet(bare, len(spec.classes)) for _ in range(spec.members)])
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError:
        raise ConfigError(f"{folder / WEIGHTS} is missing; `dvc repro` makes it") from None
    except (SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{folder / WEIGHTS} does not fit {SPEC}: {first}; restore it") from None
    return network.eval(), spec


class _WithoutStart(TorchFunctionMode):
    """Skips random initialisation of parameters, which takes longer than loading them.

    `load_state_dict` overwrites all of them. After Lightning's `init_module(empty_init=True)`.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Skip random initialisation: `torch.nn.init`, `normal_` and `uniform_`."""
        named = kwargs or {}
        of_init = getattr(func, "__module__", None) == "torch.nn.init"
        if of_init or getattr(func, "__name__", "") in {"normal_", "uniform_"}:
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
