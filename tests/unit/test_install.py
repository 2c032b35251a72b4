"""install.py: what it refuses in one line, and what it takes from pip's configuration."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parents[2] / "install.py"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, for an empty checkout."""
    spec = importlib.util.spec_from_file_location("install", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "DONE", tmp_path / ".venv" / ".installed")
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    return module


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_another_python_is_refused(install, monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"Python 3\.11, 3\.12 or 3\.13 is needed; .* is 3\.1"):
        install.check_python()


def test_a_python_without_venv_is_refused(install, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name)
    )
    with pytest.raises(SystemExit, match=r"apt install python3\.\d+-venv"):
        install.check_python()


def test_this_python_is_taken(install):
    install.check_python()


def test_a_full_disk_is_refused_before_anything_is_fetched(install, tmp_path, monkeypatch):
    plenty, little = (shutil._ntuple_diskusage(1, 1, free) for free in (9e9, 7e9))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: plenty)
    install.check_room()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    with pytest.raises(SystemExit, match=r"8 GB of disk are needed, .* has 7\.0 GB free"):
        install.check_room()
    install.DONE.parent.mkdir()
    install.DONE.touch()
    install.check_room()


def test_the_room_of_uvs_cache_counts_too(install, tmp_path, monkeypatch):
    cache = tmp_path / "elsewhere"
    cache.mkdir()
    monkeypatch.setenv("UV_CACHE_DIR", str(cache / "not" / "there"))
    monkeypatch.setattr(
        shutil, "disk_usage", lambda at: shutil._ntuple_diskusage(1, 1, 0 if at == cache else 9e9)
    )
    with pytest.raises(SystemExit, match=r"elsewhere has 0\.0 GB free"):
        install.check_room()


def test_uv_gets_what_pip_knows_of_the_network(install, tmp_path, monkeypatch):
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://mirror.example/simple\ntimeout = 9\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_CERT", "/certificates/ours.pem")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    for name in ("SSL_CERT_FILE", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    found = install.uv_environment()
    assert found["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert found["SSL_CERT_FILE"] == "/certificates/ours.pem"
    assert "PYTHONPATH" not in found
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    assert install.uv_environment()["UV_DEFAULT_INDEX"] == "https://uv.example/simple"


def test_a_step_that_fails_ends_in_one_line(install):
    with pytest.raises(SystemExit, match=r"not installed: `.*` ended with status 3"):
        install.run(sys.executable, "-c", "raise SystemExit(3)")
