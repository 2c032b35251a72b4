"""Errors that are not bugs: one line for the user, one exit status per kind, no password."""

import logging
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from textwrap import shorten
from types import TracebackType
from typing import Any

_USER = re.compile(
    r"""(://) (?: [^\s/?#"<>]*  # up to the last @ of the host's part
    | [^\s/?#@:"<>]* : (?!\d+[/?#]) [^\s@"<>]* ) @  # or a database's password with a slash in it
    """,
    re.VERBOSE,
)
_QUERY = re.compile(r"""(://[^\s?"'<>]*\?)[^\s"'<>]+""")
_VALUE = re.compile(
    r"""((?:passw(?:or)?d|pwd|secret|token|auth_string)=)[^\s"'&;,]+""", re.IGNORECASE
)


class HgmnetError(Exception):
    """A failure that the user can fix; its message states what came, what was expected, what to do.

    The command prints it as one line on stderr and exits with `exit_status`. Any other exception is
    a bug: it keeps its traceback and exits with 1. Credentials in the message are removed.
    """

    exit_status = 1

    def __init__(self, *words: object) -> None:
        super().__init__(*(redact_credentials(w) if isinstance(w, str) else w for w in words))


class ConfigError(HgmnetError):
    """params.yaml, the environment or the installation is not as required."""

    exit_status = 2


class RejectedError(HgmnetError):
    """The model did not pass the gate: a recorded result, not a fault."""

    exit_status = 3


class InvalidDataError(HgmnetError):
    """The images, masks or labels do not meet the requirements of a data set."""

    exit_status = 4


class CheckpointError(HgmnetError):
    """A checkpoint could not be written, usually for lack of space. The previous one is intact."""


def few(items: Sequence[str], most: int = 5) -> str:
    """Format the first items for a message, and the number of further ones."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def brief(error: Exception) -> str:
    """Return another library's message in one line of at most 120 characters; empty for none."""
    return shorten(str(error), 120, placeholder=" ...")


def redact_credentials(text: str) -> str:
    """Return a text without user names, passwords and queries in its addresses.

    A query is replaced as a whole, because a token can have any name there. So are values of
    `password=`, `token=` and the like.
    """
    text = _QUERY.sub(r"\1***", _USER.sub(r"\1", text))
    return _VALUE.sub(r"\1***", text)


def hide_credentials() -> None:
    """Redact all that this process logs or warns of, and the traceback that ends it."""
    logging.setLogRecordFactory(_log_record)
    warnings.formatwarning = _format_warning
    sys.excepthook = _print_traceback


_new_record, _plain_warning = logging.getLogRecordFactory(), warnings.formatwarning


def _log_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _new_record(*args, **kwargs)
    try:
        text = record.getMessage()
    except (TypeError, ValueError):  # wrong arguments, which logging itself reports
        return record
    if (clean := redact_credentials(text)) != text:
        record.msg, record.args = clean, None
    if record.exc_info and record.exc_info[0]:
        trace = logging.Formatter().formatException(record.exc_info)
        if (clean := redact_credentials(trace)) != trace:
            record.exc_text = clean
    return record


def _format_warning(*args: Any, **kwargs: Any) -> str:
    return redact_credentials(_plain_warning(*args, **kwargs))


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(redact_credentials("".join(traceback.format_exception(kind, error, trace))))
