"""Software bill of materials of a version: installed packages and licences, as CycloneDX."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from cyclonedx import spdx
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component
from cyclonedx.output.json import JsonV1Dot6
from license_expression import AND, OR, ExpressionError, ParseError, get_spdx_licensing
from packageurl import PackageURL

PERMISSIVE = {
    *("0bsd", "apache-2.0", "apache-2.0 with llvm-exception", "bsd", "bsd-2-clause"),
    *("bsd-3-clause", "bsl-1.0", "bzip2-1.0.6", "cc0-1.0", "cnri-python", "hpnd", "isc", "mit"),
    *("mit-0", "mit-cmu", "ncsa", "psf-2.0", "python-2.0", "unlicense", "wtfpl", "zlib", "zpl-2.1"),
    *("apache 2.0", "apache license 2.0", "apache license, version 2.0", "apache software license"),
    *("3-clause bsd license", "bsd 3-clause license", "bsd license", "freebsd"),
    *("isc license (iscl)", "mit licence", "mit license", "new bsd", "psfl"),
    *("python software foundation license", "the mit license (mit)", "zope public license"),
    "the unlicense (unlicense)",
}
"""SPDX identifiers, and names in packages' classifiers, in lower case."""
_UNNAMED = "hgmnet:states neither author nor maintainer"
_NAMES = ("Author", "Author-email", "Maintainer", "Maintainer-email")


@dataclass(frozen=True)
class Package:
    """An installed package. `licence`: empty where it states none."""

    name: str
    version: str
    licence: str
    maintained: bool


@dataclass(frozen=True)
class Software:
    """The packages of a version: all, those that are not permissive, and those without a name.

    `unnamed`: packages that state neither author nor maintainer.
    """

    packages: int
    restrictive: tuple[str, ...]
    unnamed: tuple[str, ...]


@cache
def bill_of_materials() -> str:
    """Return the installed packages as CycloneDX 1.6, JSON; equal packages give equal text."""
    factory, bom = LicenseFactory(), Bom()
    for one in sorted(_installed(), key=lambda package: package.name.lower()):
        bom.components.add(
            Component(
                name=one.name,
                version=one.version,
                bom_ref=f"{one.name}=={one.version}",
                purl=PackageURL("pypi", name=one.name.lower(), version=one.version),
                licenses=[factory.make_from_string(one.licence)] if one.licence else (),
                properties=() if one.maintained else [Property(name=_UNNAMED)],
            )
        )
    found = json.loads(JsonV1Dot6(bom).output_as_string())
    del found["serialNumber"], found["metadata"]["timestamp"]
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def read_software(path: Path) -> Software | None:
    """Summarise a bill of materials; None if there is none."""
    if not path.exists():
        return None
    parts = json.loads(path.read_text(encoding="utf-8"))["components"]
    licences = {part["bom-ref"]: " AND ".join(_stated(part)) for part in parts}
    return Software(
        packages=len(parts),
        restrictive=tuple(
            f"{name} ({licence or 'states none'})"
            for name, licence in licences.items()
            if not permissive(licence)
        ),
        unnamed=tuple(part["bom-ref"] for part in parts if "properties" in part),
    )


def permissive(licence: str) -> bool:
    """Whether a licence, an SPDX expression or a name, allows use without copyleft.

    Of alternatives (OR) one is enough; of parts (AND) each must be.
    """
    if licence.lower() in PERMISSIVE:
        return True
    try:
        return _holds(get_spdx_licensing().parse(licence))
    except (ExpressionError, ParseError):
        parts = licence.split(" AND ")
        return len(parts) > 1 and all(map(permissive, parts))


def _holds(expression: Any) -> bool:
    if isinstance(expression, OR):
        return any(map(_holds, expression.args))
    if isinstance(expression, AND):
        return all(map(_holds, expression.args))
    return str(expression).lower() in PERMISSIVE


def _stated(part: dict[str, object]) -> Iterator[str]:
    licences = part.get("licenses", [])
    for one in licences if isinstance(licences, list) else ():
        known = one.get("license", {})
        yield str(one.get("expression") or known.get("id") or known.get("name"))


def _installed() -> Iterator[Package]:
    seen = set()
    for found in distributions():
        name = found.metadata["Name"]
        if name and name.lower() not in seen:
            seen.add(name.lower())
            maintained = any(found.metadata.get_all(key) for key in _NAMES)
            yield Package(name, found.version, _licence(found), maintained)


def _licence(found: Distribution) -> str:
    """The licence that a package states: SPDX expression, else classifier, else its first line."""
    known = _field(found, "License-Expression")
    if known:
        return known
    classes = found.metadata.get_all("Classifier") or []
    named = [line.rpartition(" :: ")[2] for line in classes if line.startswith("License :: ")]
    named = [name for name in named if name != "OSI Approved"]
    text = _field(found, "License").strip().split("\n")[0][:60]
    if spdx.is_supported_id(text):
        return text
    return " AND ".join(named) or ("" if text.upper() == "UNKNOWN" else text)


def _field(found: Distribution, name: str) -> str:
    return next(iter(found.metadata.get_all(name) or []), "")
