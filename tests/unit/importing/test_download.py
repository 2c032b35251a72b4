import datetime
import hashlib
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from hgmnet.errors import InvalidDataError
from hgmnet.importing import download

DATA = np.random.default_rng(0).bytes(700_000)
SHA = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `server.data`; breaks off after `server.breaks` bytes of a body if that is not 0."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if self.path == "/moved":
            return self.plain(302, {"Location": server.moved_to})
        if self.path == "/gone.zip":
            return self.plain(404, {})
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.ranges else 0
        if self.headers.get("If-Range", server.etag) != server.etag:
            begin = 0
        if begin >= len(server.data):
            return self.plain(416, {"Content-Range": f"bytes */{len(server.data)}"})
        body = server.data[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.etag)
        if begin:
            end = len(server.data)
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{end}")
        self.end_headers()
        server.served.append(len(body[: server.breaks or None]))  # before the client goes on
        self.wfile.write(body[: server.breaks or None])
        self.close_connection = True
        return None

    def plain(self, status, headers):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.data, web.etag, web.ranges, web.breaks = DATA, '"one"', True, 0
    web.asked, web.served = [], []
    web.url = f"http://127.0.0.1:{web.server_port}/set%20of%20images.zip?x=1"
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    yield web
    web.shutdown()
    thread.join()
    web.server_close()


def fetched(server, tmp_path, sha256=SHA, url=None):
    with download.brought(url or server.url, tmp_path / "downloads", sha256) as place:
        return place.name, place.read_bytes()


def left(tmp_path):
    return sorted(path.name.partition("-")[2] for path in (tmp_path / "downloads").iterdir())


def test_a_file_comes_whole_and_goes_when_it_is_used(server, tmp_path):
    name, data = fetched(server, tmp_path)
    assert name.endswith("-set_of_images.zip")
    assert data == DATA
    assert left(tmp_path) == []


def test_what_broke_off_goes_on_from_there(server, tmp_path):
    server.breaks = 300_000
    with pytest.raises(
        InvalidDataError, match="broke off after 300,000 of 700,000 bytes"
    ) as caught:
        fetched(server, tmp_path)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == ["set_of_images.zip.part", "set_of_images.zip.part.tag"]
    server.breaks = 0
    assert fetched(server, tmp_path)[1] == DATA
    assert server.asked == [None, "bytes=300000-"]
    assert server.served == [300_000, 400_000]


def test_another_file_by_now_is_fetched_from_its_beginning(server, tmp_path):
    server.breaks = 300_000
    with pytest.raises(InvalidDataError):
        fetched(server, tmp_path)
    server.breaks, server.etag, server.data = 0, '"two"', DATA[::-1]
    assert fetched(server, tmp_path, hashlib.sha256(DATA[::-1]).hexdigest())[1] == DATA[::-1]


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges, server.breaks = False, 300_000
    with pytest.raises(InvalidDataError):
        fetched(server, tmp_path)
    server.breaks = 0
    assert fetched(server, tmp_path)[1] == DATA


def test_what_was_not_used_is_not_fetched_again(server, tmp_path):
    def use():
        with download.brought(server.url, tmp_path / "downloads", SHA):
            raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError):
            use()
    assert left(tmp_path)[0] == "set_of_images.zip"
    assert server.served == [700_000]
    assert fetched(server, tmp_path)[1] == DATA
    assert server.served == [700_000]


def test_a_whole_part_is_asked_for_nothing_more(server, tmp_path):
    folder = tmp_path / "downloads"
    with pytest.raises(RuntimeError), download.brought(server.url, folder, SHA) as place:
        raise RuntimeError
    place.rename(place.with_name(place.name + ".part"))
    assert fetched(server, tmp_path)[1] == DATA
    assert server.asked == [None, "bytes=700000-"]
    assert server.served == [700_000]


def test_too_long_a_part_begins_anew(server, tmp_path):
    folder = tmp_path / "downloads"
    with pytest.raises(RuntimeError), download.brought(server.url, folder, SHA) as place:
        raise RuntimeError
    place.rename(place.with_name(place.name + ".part")).write_bytes(DATA + b"x")
    assert fetched(server, tmp_path)[1] == DATA


def test_another_hash_is_refused_and_leaves_nothing(server, tmp_path):
    with pytest.raises(InvalidDataError, match=f"has the sha256 {SHA}, expected {'0' * 64}"):
        fetched(server, tmp_path, "0" * 64)
    assert left(tmp_path) == []


def test_http_needs_a_hash(server, tmp_path):
    with pytest.raises(
        InvalidDataError, match=r"expected .* https:// \(http:// only with --sha256"
    ):
        fetched(server, tmp_path, "")


@pytest.mark.parametrize("url", ["ftp://x/y.zip", "data://x", "gopher://x"])
def test_other_schemes_are_refused(tmp_path, url):
    with pytest.raises(InvalidDataError, match="expected a path, file:// or https://"):
        fetched(None, tmp_path, url=url)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x.zip", "file:///etc/passwd"])
def test_a_redirect_leads_nowhere_else(server, tmp_path, target):
    server.moved_to = target
    url = server.url.rpartition("/")[0] + "/moved"
    with pytest.raises(InvalidDataError):
        fetched(server, tmp_path, url=url)
    assert left(tmp_path) == []


def test_a_redirect_is_followed(server, tmp_path):
    server.moved_to = server.url
    assert fetched(server, tmp_path, url=server.url.rpartition("/")[0] + "/moved")[1] == DATA


def test_what_the_server_does_not_have(server, tmp_path):
    url = server.url.rpartition("/")[0] + "/gone.zip"
    with pytest.raises(InvalidDataError, match=r"gone\.zip: the server responded 404 Not Found"):
        fetched(server, tmp_path, url=url)


def test_no_network_is_one_line(server, tmp_path):
    url = "https://127.0.0.1:1/x.zip"
    with pytest.raises(
        InvalidDataError, match=r"can't be fetched: .*; check the network"
    ) as caught:
        fetched(server, tmp_path, url=url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_url_is_a_path(tmp_path, host):
    (tmp_path / "a b.zip").write_bytes(DATA)
    url = f"file://{host}{tmp_path}/a%20b.zip"
    with download.brought(url, tmp_path / "downloads", SHA.upper()) as place:
        assert place == tmp_path / "a b.zip"
    assert place.exists()
    assert not (tmp_path / "downloads").exists()
    with pytest.raises(InvalidDataError, match="has the sha256"):
        fetched(None, tmp_path, "0" * 64, url)
    with pytest.raises(InvalidDataError, match="names the machine elsewhere"):
        fetched(None, tmp_path, "", f"file://elsewhere{tmp_path}/a%20b.zip")


def test_a_folder_has_no_hash(tmp_path):
    with pytest.raises(InvalidDataError, match="is no file, so there is no sha256"):
        fetched(None, tmp_path, SHA, str(tmp_path))


def test_https_is_checked_against_known_authorities(server, tmp_path, monkeypatch):
    certificate = certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}/set_of_images.zip"
    with pytest.raises(InvalidDataError, match="CERTIFICATE_VERIFY_FAILED"):
        fetched(server, tmp_path, "", url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetched(server, tmp_path, "", url)[1] == DATA


def certify(folder):
    """A key and a certificate of 127.0.0.1, signed by itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from ipaddress import ip_address

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
