"""One file from a server, resumed where the line broke off before."""

import urllib.error
import urllib.request
from http.client import HTTPResponse
from pathlib import Path

from tqdm import tqdm

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""

_CHUNK = 2**18


def transfer(opener: urllib.request.OpenerDirector, url: str, part: Path) -> None:
    """Fetch what is not yet there.

    The server is asked whether the file is still the one that was begun (If-Range); if it is not,
    or can't send parts, the file is fetched from its beginning. A progress bar shows on a terminal.

    Args:
        opener: what asks.
        url: which file; its scheme is the caller's care.
        part: where it goes, and what of it came before.

    Raises:
        OSError, http.client.HTTPException: the server can't be reached, refuses, or breaks off.
    """
    here = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url)  # noqa: S310 - the caller has looked at it
    if here:
        request.add_header("Range", f"bytes={here}-")
        tag = _tag(part).read_text() if _tag(part).exists() else ""
        if tag:
            request.add_header("If-Range", tag)
    try:
        response = opener.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing lies beyond what is here: it is whole, or not the same
            raise
        if error.headers.get("Content-Range", "").rpartition("/")[2] != str(here):
            forget(part)
            transfer(opener, url, part)
        return
    with response:
        resumed = _resumed(response, here, part)
        if not resumed:
            forget(part)
        etag = response.headers.get("ETag") or ""
        strong = "" if etag.startswith("W/") else etag
        _tag(part).write_text(strong or response.headers.get("Last-Modified") or "")
        _save(response, part, here if resumed else 0)


def forget(part: Path) -> None:
    """Remove what has come of a file, and what is known of it."""
    for path in (part, _tag(part)):
        path.unlink(missing_ok=True)


def _tag(part: Path) -> Path:
    """Beside what has come so far: by what the server knows this state of the file."""
    return part.with_name(f"{part.name}.tag")


def _resumed(response: HTTPResponse, here: int, part: Path) -> bool:
    if response.status != 206:
        return False
    if response.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
        return True
    forget(part)
    msg = "the server sent another part than it was asked for"
    raise OSError(msg)


def _save(response: HTTPResponse, part: Path, here: int) -> None:
    """Write what comes behind the first `here` bytes, with a progress bar on a terminal."""
    length = response.headers.get("Content-Length")
    total = here + int(length) if length else None
    with (
        part.open("ab" if here else "wb") as file,
        tqdm(total=total, initial=here, unit="B", unit_scale=True, disable=None) as bar,
    ):
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
        came = file.tell()
    if total is not None and came < total:
        msg = f"the line broke off after {came:,} of {total:,} bytes"
        raise OSError(msg)
