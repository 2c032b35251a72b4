"""Limits of a server, as options of `hgmnet serve`."""

import argparse
from dataclasses import dataclass, fields

from hgmnet.data.limits import MAX_FILE_BYTES, MAX_PIXELS

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What a server takes at most, of one request and of all; `_MEANING` describes each."""

    body_mib: int = MAX_FILE_BYTES // MIB
    held_mib: int = 1024
    images: int = 256
    pixels: int = MAX_PIXELS
    queue: int = 64
    connections: int = 512
    receive_seconds: int = 120
    answer_seconds: int = 300


DEFAULTS = Limits()
_MEANING = {
    "body_mib": "MiB of a request's body",
    "held_mib": "MiB of all bodies at once",
    "images": "images per request",
    "pixels": "pixels of an image",
    "queue": "requests that wait for the model or use it; others get 503",
    "connections": "open connections",
    "receive_seconds": "seconds for a request to arrive",
    "answer_seconds": "seconds until a request is answered, else 503",
}


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add one option per limit: `--max-queue 64`."""
    group = parser.add_argument_group("limits")
    for field in fields(Limits):
        group.add_argument(
            f"--max-{field.name.replace('_', '-')}",
            type=_positive,
            default=field.default,
            metavar="N",
            help=f"{_MEANING[field.name]} ({field.default})",
        )


def read_limits(args: argparse.Namespace) -> Limits:
    """Return the limits from the options of `add_limits`."""
    return Limits(**{field.name: getattr(args, f"max_{field.name}") for field in fields(Limits)})


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value
