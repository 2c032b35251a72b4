"""No credentials of an address are in an error, a log line, a warning or a traceback."""

import logging
import pickle
import subprocess
import sys
import warnings

import pytest

from hgmnet.errors import InvalidDataError, hide_credentials, redact_credentials

SECRET = "S3cret"  # noqa: S105
ADDRESSES = {
    "http://me:S3cret@host:5000/api": "http://host:5000/api",
    "https://S3cret@host/org/repository.git": "https://host/org/repository.git",
    "https://:S3cret@host": "https://host",
    "http://me:S3cret%40%2f@host/x": "http://host/x",
    "http://me:p@S3cret@host/x": "http://host/x",
    "postgresql+psycopg2://me:S3cret@host/db": "postgresql+psycopg2://host/db",
    "postgresql://me:a/S3cret@host/db": "postgresql://host/db",
    "mysql+pymysql://me:it's#S3cret@host/db": "mysql+pymysql://host/db",
    "s3://KEY:S3cret@bucket/x": "s3://bucket/x",
    "https://host/x.zip?sig=S3cret&se=1": "https://host/x.zip?***",
    "https://host/x.zip?rlkey=S3cret": "https://host/x.zip?***",
    "host=db user=me password=S3cret": "host=db user=me password=***",
    "MLFLOW_TRACKING_TOKEN=S3cret": "MLFLOW_TRACKING_TOKEN=***",
}
KEPT = (
    "http://host:5000/#/experiments/1/runs/a@b",
    "http://127.0.0.1:4200/runs/flow-run/1 (a@b.example)",
    "git@host:org/repository.git",
    "sqlite:////tmp/a b/mlflow.db",
    "`hgmnet import clinic <folder>`: is that a folder?",
)


@pytest.mark.parametrize(("address", "shown"), ADDRESSES.items())
def test_an_address_is_shown_without_its_credentials(address: str, shown: str) -> None:
    assert redact_credentials(address) == shown
    inside = "at '{0}' and {0} : no"
    assert redact_credentials(inside.format(address)) == inside.format(shown)


@pytest.mark.parametrize("text", KEPT)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert redact_credentials(text) == text


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_error_that_a_user_sees_has_them(address: str) -> None:
    error = InvalidDataError(f"{address} can't be fetched", 3)
    assert SECRET not in repr(error)
    assert pickle.loads(pickle.dumps(error)).args == error.args  # noqa: S301 - our own


@pytest.fixture
def hiding(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a command; undone afterwards."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    factory = logging.getLogRecordFactory()
    hide_credentials()
    yield
    logging.setLogRecordFactory(factory)


@pytest.mark.usefixtures("hiding")
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_log_line_of_any_package_has_them(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("someone.elses")
    log.warning("retrying %s", address)
    try:
        refuse(address)
    except RuntimeError:
        log.exception("failed")
    assert "retrying" in caplog.text
    assert "refused" in caplog.text
    assert SECRET not in caplog.text


def refuse(address: str) -> None:
    raise RuntimeError("no answer") from OSError(f"{address} refused")


@pytest.mark.usefixtures("hiding")
def test_no_warning_has_them() -> None:
    text = warnings.formatwarning("old http://me:S3cret@host", UserWarning, "a.py", 1, "")
    assert "old http://host" in text


@pytest.mark.slow
def test_no_traceback_has_them() -> None:
    code = (
        "from hgmnet.errors import hide_credentials; hide_credentials()\n"
        "try: raise OSError('http://me:S3cret@host')\n"
        "except OSError as error: raise RuntimeError('a bug') from error\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert "OSError: http://host" in done.stderr
    assert SECRET not in done.stderr
