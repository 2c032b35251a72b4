"""https:// and file:// sources: downloaded once, resumed if interrupted, checked by sha256."""

import hashlib
import re
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from hgmnet.errors import InvalidDataError

MAX_GIB = 64.0
_WAIT_S = 30.0  # seconds without a byte before a connection times out
_CHUNK = 2**18
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://", re.IGNORECASE)


@contextmanager
def brought(
    source: str, folder: Path, sha256: str = "", max_gib: float = MAX_GIB
) -> Iterator[Path]:
    """Download a source for the duration of the block; yields its local path.

    A download stays in `folder` if the block fails, so that another try need not repeat it.
    `source`: a path, or a file:// or https:// URL; http:// only with a `sha256`, in hex.

    Raises:
        InvalidDataError: the download fails, the hash differs, or the server states no size, or one
            above `max_gib` GiB or above the free space.
    """
    match = _URL.match(source)
    scheme = match["scheme"].lower() if match else ""
    _refuse_broken(source if match else "")
    if scheme in ("", "file"):
        place = _local(source) if scheme else Path(source)
        _hold_to(place, sha256, source)
        yield place
    else:
        place = _fetch(source, folder, sha256, max_gib)
        yield place
        place.unlink()
        _forget(_part(place))


def _refuse_broken(url: str) -> None:
    try:
        urlsplit(url).port  # noqa: B018  # which is parsed then
        url.encode()
    except ValueError as error:
        msg = f"{url!r} is no address ({error}); expected one such as https://host/set.zip"
        raise InvalidDataError(msg) from None


def _local(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        msg = f"{url} names the machine {parts.netloc}; expected file:///path/on/this/machine"
        raise InvalidDataError(msg)
    return Path(unquote(parts.path))


def _fetch(url: str, folder: Path, sha256: str, max_gib: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    last = re.sub(r"[^A-Za-z0-9._-]+", "_", unquote(urlsplit(url).path).rpartition("/")[2])[-100:]
    place = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{last}"
    part = _part(place)
    if place.exists():  # from an import that failed
        if sha256 and _sha256(place) == sha256.lower():
            return place
        place.rename(part)  # the server is asked whether it is still the same
    try:
        with _session(sha256) as session:
            _transfer(session, url, part, int(max_gib * 2**30))
    except requests.exceptions.InvalidSchema:
        msg = f"{url}: expected a path, file:// or https:// (http:// only with --sha256)"
        raise InvalidDataError(msg) from None
    except (OSError, HTTPError) as error:
        raise InvalidDataError(
            f"{url} can't be fetched: {_why(error)}; check the network, then "
            "run the same command again: it resumes the download"
        ) from None
    try:
        _hold_to(part, sha256, url)
    except InvalidDataError:
        _forget(part)
        raise
    return part.rename(place)


def _session(sha256: str) -> requests.Session:
    """Open a session restricted to https://, and http:// with a hash, also for redirects."""
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"  # the file's bytes, unencoded
    if not sha256:
        del session.adapters["http://"]
    return session


def _transfer(session: requests.Session, url: str, part: Path, most: int) -> None:
    """Download the missing bytes.

    If-Range asks the server whether the file is unchanged; if it is not, or the server can't send
    parts, the download restarts. A progress bar is shown on a terminal.
    """
    here = part.stat().st_size if part.exists() else 0
    tag = _tag(part).read_text() if here and _tag(part).exists() else ""
    headers = {"Range": f"bytes={here}-"} if here else {}
    headers |= {"If-Range": tag} if tag else {}
    known = ssl.get_default_verify_paths()  # this machine's authorities, or SSL_CERT_FILE's
    verify = known.cafile or known.capath or True
    with session.get(url, headers=headers, stream=True, timeout=_WAIT_S, verify=verify) as response:
        span = response.headers.get("Content-Range", "")
        if here and response.status_code == 416:  # no further bytes: complete, or another file
            if span.rpartition("/")[2] != str(here):
                _forget(part)
                _transfer(session, url, part, most)
            return
        if not response.ok:
            answer = f"{response.status_code} {response.reason}"
            raise InvalidDataError(f"{url}: the server responded {answer}; check the address")
        if response.status_code != 206:
            here = 0
        elif not span.startswith(f"bytes {here}-"):
            _forget(part)
            raise OSError("the server sent another part than was requested")
        total = here + _stated_size(response, url)
        if total > min(most, here + shutil.disk_usage(part.parent).free):
            _forget(part)
            raise InvalidDataError(
                f"{url} has {total / 2**30:.1f} GiB; at most {most / 2**30:g} GiB that fit on the "
                "disk are fetched; make room, or raise the limit: --max-gib N"
            )
        etag = response.headers.get("ETag", "")
        strong = "" if etag.startswith("W/") else etag
        _tag(part).write_text(strong or response.headers.get("Last-Modified", ""))
        _save(response, part, here, total)


def _stated_size(response: requests.Response, url: str) -> int:
    """Return the size of the answer, bytes; without one, there might be no end of it.

    Raises:
        InvalidDataError: the server states none.
    """
    length = response.headers.get("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,15}", length) or "Transfer-Encoding" in response.headers:
        msg = f"{url}: the server states no size of the file; fetch it yourself, then import that"
        raise InvalidDataError(msg)
    return int(length)


def _save(response: requests.Response, part: Path, here: int, total: int) -> None:
    """Append the response to the first `here` bytes."""
    response.raw.enforce_content_length = False  # else the last bytes before a break are lost
    with (
        part.open("ab" if here else "wb") as file,
        tqdm.wrapattr(response.raw, "read", total=total, initial=here, disable=None) as body,
    ):
        shutil.copyfileobj(body, file, _CHUNK)
        came = file.tell()
    if came < total:
        raise OSError(f"the connection broke off after {came:,} of {total:,} bytes")


def _why(error: BaseException) -> str:
    """Format the first cause, without the libraries' wrappers."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error) or type(error).__name__


def _forget(part: Path) -> None:
    """Delete a partial file and its tag."""
    for path in (part, _tag(part)):
        path.unlink(missing_ok=True)


def _tag(part: Path) -> Path:
    """Path beside a partial file of the server's tag for its version."""
    return part.with_name(f"{part.name}.tag")


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
