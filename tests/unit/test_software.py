"""The bill of materials: every installed package, its licence, and what is not permissive."""

import json
from importlib.metadata import version

import pytest

from pipelines.registry.software import bill_of_materials, permissive, read_software


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("MIT", True),
        ("BSD License", True),
        ("Apache-2.0 AND MIT", True),
        ("GPL-3.0-only OR MIT", True),
        ("MPL-2.0 AND MIT", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
        ("LIMITED", False),
        ("LGPL, MIT", False),
        ("BSD License AND Apache Software License", True),
        ("EPL-2.0 OR GPL-2.0-or-later", False),
        ("LicenseRef-NVIDIA-Proprietary", False),
        ("GNU General Public License v2 (GPLv2)", False),
        ("", False),
    ],
)
def test_what_is_permissive(licence, free):
    assert permissive(licence) is free


def test_every_installed_package_is_there_and_equal_packages_give_equal_text(tmp_path):
    text = bill_of_materials()
    assert text == bill_of_materials.__wrapped__()
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    parts = {part["name"].lower(): part for part in bill["components"]}
    assert parts["torch"]["version"] == version("torch")
    assert parts["mlflow"]["purl"] == f"pkg:pypi/mlflow@{version('mlflow')}"
    (tmp_path / "bill.json").write_text(text)
    found = read_software(tmp_path / "bill.json")
    assert found.packages == len(parts)
    assert any(one.startswith("certifi==") and "MPL-2.0" in one for one in found.restrictive)
    assert not any(one.startswith("numpy==") for one in found.restrictive)
    assert read_software(tmp_path / "none.json") is None
