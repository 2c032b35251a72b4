"""SSH signatures of approvals, by OpenSSH's own program: a person's key over model and history.

Format and options: ssh-keygen(1), -Y sign and -Y verify, and its section on allowed signers.
"""

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hgmnet.errors import ConfigError, InvalidDataError
from pipelines.registry.evidence import EVIDENCE
from pipelines.registry.history import DecisionRecord

_NAMESPACE = "hgmnet"  # a signature made for another purpose is not valid here


def statement(name: str, version: str, model: str, evidence: str, head: str) -> str:
    """Return the text that is signed: version, hashes of model, evidence and the decision before.

    `evidence`, `head`: empty for none.
    """
    return (
        f"{name} version {version} may serve: model {model}, evidence {evidence or 'none'}, after "
        f"decision {head or 'none'}\n"
    )


def statement_of(entry: DecisionRecord) -> str:
    """Return the text that a recorded approval signs."""
    evidence = entry.evidence.get(EVIDENCE, "")
    return statement(entry.name, entry.version, entry.champion_model, evidence, entry.previous)


def sign(key: Path, text: str) -> str:
    """Sign a text with a private key, or with the agent's key of a public one.

    Raises:
        ConfigError: ssh-keygen is missing or refuses.
    """
    if not key.is_file():
        raise ConfigError(f"--sign {key}: there is no such key")
    done = _ssh_keygen(["-Y", "sign", "-q", "-n", _NAMESPACE, "-f", str(key)], text)
    if done.returncode:
        raise ConfigError(f"--sign {key}: ssh-keygen: {_line(done)}")
    return done.stdout


def signer(entry: DecisionRecord, allowed: Path) -> str:
    """Return who signed an approval, by the file of allowed signers, as it was valid then.

    Raises:
        ConfigError: there is no such file, or no ssh-keygen.
        InvalidDataError: the signature is not of this decision, or not of an allowed signer.
    """
    if not allowed.is_file():
        raise ConfigError(f"--verify {allowed}: there is no such file")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "signature"
        file.write_text(entry.signature, encoding="utf-8")
        when = datetime.fromisoformat(entry.when).astimezone(UTC).strftime("%Y%m%d%H%M%SZ")
        words = ["-f", str(allowed), "-n", _NAMESPACE, "-s", str(file), f"-Overify-time={when}"]
        who = _ssh_keygen(["-Y", "find-principals", *words], "").stdout.partition("\n")[0].strip()
        done = _ssh_keygen(["-Y", "verify", "-I", who, *words], statement_of(entry))
    if not who or done.returncode:
        why = _line(done) if who else "its key is not among the allowed signers"
        raise InvalidDataError(f"decision {entry.number}: the signature is not valid: {why}")
    return who


def _ssh_keygen(words: list[str], text: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["ssh-keygen", *words], input=text, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise ConfigError("ssh-keygen is missing; install OpenSSH's client") from None


def _line(done: "subprocess.CompletedProcess[str]") -> str:
    return " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
