"""https:// and file:// sources: fetched once, resumed where the line broke, checked by sha256."""

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from tqdm import tqdm

from hgmnet.errors import InvalidDataError

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


_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_AGAIN = "type the same command again, and it goes on from there"


@contextmanager
def brought(source: str, folder: Path, sha256: str = "") -> Iterator[Path]:
    """Bring a source onto this machine for as long as it is needed.

    A download stays where the block within fails, so that another try need not fetch it again.

    Args:
        source: a path, or a file:// or https:// URL; http:// only with a `sha256`.
        folder: where downloads lie.
        sha256: what the file must hash to, in hex; empty for any.

    Yields:
        Where it lies.

    Raises:
        InvalidDataError: it can't be fetched, or its hash is another.
    """
    match = _URL.match(source)
    scheme = match["scheme"].lower() if match else ""
    if scheme in ("", "file"):
        place = _local(source) if scheme else Path(source)
        _hold_to(place, sha256, source)
        yield place
    else:
        place = _fetch(source, folder, sha256)
        yield place
        place.unlink()
        forget(_part(place))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere, but never to where a URL could not have led by itself."""

    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Check where it leads before it is followed."""
        _hold_scheme(newurl, self._sha256)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _local(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        msg = f"{url} names the machine {parts.netloc}; expected file:///path/on/this/machine"
        raise InvalidDataError(msg)
    return Path(unquote(parts.path))


def _fetch(url: str, folder: Path, sha256: str) -> Path:
    _hold_scheme(url, sha256)
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / _name(url)
    if place.exists():  # from an import that failed
        if sha256 and _sha256(place) == sha256.lower():
            return place
        place.rename(_part(place))  # the server is asked whether it is still the same
    try:
        opener = urllib.request.build_opener(_Redirects(sha256))
        transfer(opener, url, _part(place))
    except urllib.error.HTTPError as error:
        msg = f"{url}: the server says {error.code} {error.reason}; see that the address is right"
        raise InvalidDataError(msg) from None
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", None) or error or type(error).__name__
        msg = f"{url} can't be fetched: {why}; is there a network? If it was begun, {_AGAIN}"
        raise InvalidDataError(msg) from None
    try:
        _hold_to(_part(place), sha256, url)
    except InvalidDataError:
        forget(_part(place))
        raise
    return _part(place).rename(place)


def _hold_scheme(url: str, sha256: str) -> None:
    scheme = urlsplit(url).scheme.lower()
    if scheme != "https" and not (scheme == "http" and sha256):
        safe = " (http:// only with --sha256)" if scheme == "http" else ""
        msg = f"{url}: expected a path, file:// or https://{safe}"
        raise InvalidDataError(msg)


def _name(url: str) -> str:
    """The file's own name behind what tells its address from others."""
    last = unquote(urlsplit(url).path).rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", last)[-100:]
    return f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{plain}"


def _part(place: Path) -> Path:
    return place.with_name(f"{place.name}.part")


def _hold_to(path: Path, sha256: str, source: str) -> None:
    if not sha256:
        return
    if not path.is_file():
        msg = f"{source} is no file, so there is no sha256 of it; leave --sha256 out, or zip it"
        raise InvalidDataError(msg)
    found = _sha256(path)
    if found != sha256.lower():
        msg = f"{source} has the sha256 {found}, expected {sha256.lower()}; find out which is meant"
        raise InvalidDataError(msg)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
