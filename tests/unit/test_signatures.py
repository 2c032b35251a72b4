"""Signed approvals, with OpenSSH's own keys: whose they are, and what they cover."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hgmnet.errors import ConfigError, InvalidDataError
from pipelines.registry.evidence import EVIDENCE
from pipelines.registry.history import DecisionRecord
from pipelines.registry.signatures import sign, signer, statement_of

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed (openssh-client)"
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


def make_key(path: Path) -> Path:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(words, check=True)
    return path


@pytest.fixture
def allowed(key: Path) -> Path:
    file = key.with_name("allowed")
    file.write_text(f"eva@example.org {key.with_suffix('.pub').read_text()}")
    return file


def approval(**changes: str) -> DecisionRecord:
    facts = dict.fromkeys(DecisionRecord.model_fields, "") | {
        "number": 2,
        "previous": "0" * 64,
        "action": "promoted",
        "name": "hgmnet-busi",
        "version": "3",
        "champion": "3",
        "approved_by": "Eva",
        "when": "2026-11-30T10:00:00+00:00",
        "champion_model": "a" * 64,
        "evidence": {EVIDENCE: "e" * 64},
    }
    return DecisionRecord(**facts | changes)


def signed(key: Path) -> DecisionRecord:
    return approval(signature=sign(key, statement_of(approval())))


def test_a_signature_names_its_signer(key, allowed):
    assert signer(signed(key), allowed) == "eva@example.org"


@pytest.mark.parametrize(
    "changed",
    [
        {"champion_model": "b" * 64},
        {"previous": "1" * 64},
        {"version": "4"},
        {"name": "other"},
        {"evidence": {EVIDENCE: "f" * 64}},
    ],
)
def test_a_signature_covers_model_version_and_history(key, allowed, changed):
    with pytest.raises(InvalidDataError, match="decision 2: the signature is not valid"):
        signer(signed(key).model_copy(update=changed), allowed)


def test_a_key_that_is_not_allowed_is_named(key, allowed, tmp_path):
    other = signed(make_key(tmp_path / "other"))
    with pytest.raises(InvalidDataError, match="not among the allowed signers"):
        signer(other, allowed)


def test_a_key_that_has_expired_since_was_valid_then(key, allowed):
    line = allowed.read_text().replace("ssh-", 'valid-before="20270101" ssh-', 1)
    allowed.write_text(line)
    assert signer(signed(key), allowed) == "eva@example.org"
    allowed.write_text(line.replace("2027", "2026"))
    with pytest.raises(InvalidDataError, match="decision 2"):
        signer(signed(key), allowed)


def test_a_signature_for_another_purpose_is_refused(key, allowed):
    words = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(key)]
    text = statement_of(approval())
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    with pytest.raises(InvalidDataError, match="not valid"):
        signer(approval(signature=done.stdout), allowed)


def test_what_is_missing_is_named(key, allowed, tmp_path):
    with pytest.raises(ConfigError, match="there is no such key"):
        sign(tmp_path / "absent", "text")
    with pytest.raises(ConfigError, match="ssh-keygen: "):
        sign(allowed, "text")
    with pytest.raises(ConfigError, match="there is no such file"):
        signer(signed(key), tmp_path / "absent")
