"""Edge lengths of images that the encoders support."""

from hgmnet.errors import ConfigError

DEPTH = 5
STRIDE = 2**DEPTH


def check_size(size: int) -> None:
    """Raise ConfigError unless `size`, px, is a multiple of 32, as the encoders need."""
    if size % STRIDE:
        down = max(STRIDE, size // STRIDE * STRIDE)
        raise ConfigError(
            f"prepare.side: {size} px is not a multiple of {STRIDE}, which an encoder of "
            f"{DEPTH} scales needs; try {down} or {down + STRIDE}"
        )
