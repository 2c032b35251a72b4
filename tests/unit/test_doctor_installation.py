"""What is installed against what is needed, told from versions alone."""

from importlib.metadata import version

import pytest

from pipelines.operations import doctor
from pipelines.operations.doctor import packages, torch_pair

TORCH, VISION = version("torch"), version("torchvision")


@pytest.fixture
def lock(tmp_path):
    def write(*pins):
        path = tmp_path / "requirements.lock"
        path.write_text("".join(f"{pin} \\\n    --hash=sha256:00\n    # via x\n" for pin in pins))
        return path

    return write


def statuses(needed, lock):
    return [(finding.status, finding.says) for finding in packages(needed, lock)]


def test_what_fits_is_counted(lock):
    needed = ["numpy>=1", "ruamel.yaml", 'hypothesis; extra == "dev"']
    here = lock(f"numpy=={version('numpy')}", f"ruamel-yaml=={version('ruamel.yaml')}")
    assert statuses(needed, here) == [("ok", "2 packages as requirements.lock says")]


def test_another_version_than_the_locks_is_a_note(lock):
    ((status, says),) = statuses(["numpy"], lock("numpy==0.1"))
    assert status == "note"
    assert says.startswith(
        f"numpy {version('numpy')}, where requirements.lock says 0.1: python3 install.py"
    )


def test_a_lock_line_for_another_python_does_not_count(lock):
    pins = ["numpy==0.1 ; python_full_version < '3'", f"numpy=={version('numpy')}"]
    assert [status for status, _ in statuses(["numpy"], lock(*pins))] == ["ok"]


@pytest.mark.parametrize(
    ("requirement", "says"),
    [
        ("nonesuch>=2", "nonesuch>=2 is needed, none is here: python3 install.py"),
        ("numpy<1", f"numpy<1 is needed, {version('numpy')} is here: python3 install.py"),
    ],
)
def test_what_is_missing_or_unfit_must_be_mended(requirement, says, lock):
    ((status, said),) = statuses([requirement, "pandas"], lock("pillow==1"))
    assert status == "mend"
    assert said.startswith(says)


def test_a_missing_lock_must_be_mended(tmp_path):
    ((status, says),) = statuses(["numpy"], tmp_path / "requirements.lock")
    assert status == "mend"
    assert "git checkout requirements.lock" in says


def test_torch_and_torchvision_are_a_pair_by_their_labels():
    assert torch_pair(TORCH, VISION).status == "ok"
    assert torch_pair(f"{TORCH}+cpu", f"{VISION}+cpu").status == "ok"
    assert torch_pair(f"{TORCH}+cpu", VISION).status == "mend"
    assert torch_pair("1.0", VISION).status == "mend"


def test_a_full_disk_must_be_mended(tmp_path, monkeypatch):
    assert doctor.disk(tmp_path).status in {"ok", "note"}
    monkeypatch.setattr(doctor, "LEAST_DISK", 2**20)
    finding = doctor.disk(tmp_path)
    assert finding.status == "mend"
    assert "dvc gc -w" in finding.says
