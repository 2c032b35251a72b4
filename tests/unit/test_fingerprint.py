from hgmnet.config.base import Frozen
from pipelines.stages.fingerprint import fingerprint


class Settings(Frozen):
    value: int


DVC = "stages:\n  train:\n    deps:\n      - data/${data.name}/prepared\n      - code.py\n"


def test_params_code_and_data_all_count(tmp_path):
    (tmp_path / "dvc.yaml").write_text(DVC)
    prepared = tmp_path / "data" / "toy" / "prepared"
    prepared.mkdir(parents=True)
    (prepared / "images.npy").write_bytes(b"1")
    (tmp_path / "code.py").write_text("a = 1\n")

    def mark(value: int = 1) -> str:
        return fingerprint(tmp_path, "train", "toy", {"train": Settings(value=value)})

    first = mark()
    assert mark() == first
    assert mark(2) != first
    (prepared / "images.npy").write_bytes(b"2")
    changed = mark()
    assert changed != first
    (tmp_path / "code.py").write_text("a = 2\n")
    assert mark() not in {first, changed}
