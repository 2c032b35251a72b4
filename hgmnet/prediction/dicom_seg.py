"""Predictions as DICOM Segmentations (PS3.3 A.51), for the archive that the image came from.

Each image makes two files of one new series: the final mask (BINARY) and the lesion probability
(FRACTIONAL), pixel for pixel on the image. Study and patient are copied from the image; the
algorithm is identified by the model's registered name, its version and its SHA-256.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hgmnet.data.atomic import atomic
from hgmnet.data.dicom import DicomFile, is_dicom
from hgmnet.data.images import ImageFile
from hgmnet.data.resize import Mask, Prob
from hgmnet.errors import ConfigError, InvalidDataError, brief

_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_MAY_BE_EMPTY = (  # type 2: must be there, also without a value
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientOrientation"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
_SERIES = 9000  # a number that scanners do not reach
_TEXT = 64  # characters of a DICOM text (LO)
_HEAD = 2048  # bytes by which DICOM is recognised


def file_names(name: str) -> tuple[str, str]:
    """Names of the two files of an image: of the mask and of the probability."""
    return f"{name}_mask.dcm", f"{name}_probability.dcm"


@dataclass(frozen=True)
class Segmentations:
    """Writes segmentations to a folder; `model`, `version`, `sha256` identify the algorithm."""

    folder: Path
    model: str
    version: str
    sha256: str

    @classmethod
    def to(cls, folder: Path, files: Sequence[Path], name: str, sha256: str) -> "Segmentations":
        """Check that all files are DICOM.

        `name`: of the model, `<registered name> version <number>`; a folder's path is not used,
        because an archive would keep it.

        Raises:
            ConfigError: a file is not DICOM, or highdicom is not installed.
        """
        if not find_spec("highdicom"):
            raise ConfigError("--dicom-seg needs highdicom: pip install 'hgmnet[dicom]'")
        others = [file for file in files if not _may_be_dicom(file)]
        if others:
            count = f"{len(others)} files are not DICOM, such as {others[0]}"
            what = count if len(others) > 1 else f"{others[0]} is not DICOM"
            raise ConfigError(f"{what}; --dicom-seg needs DICOM images: leave the option out")
        registered, _, number = name.rpartition(" version ")
        known = (registered, number) if number.isdecimal() else ("HGM-Net", sha256[:16])
        return cls(folder, *known, sha256)

    def source(self, file: ImageFile) -> Any:
        """Return the header to copy from.

        Raises:
            InvalidDataError: it has several frames, or no UIDs.
        """
        if not isinstance(file, DicomFile):
            raise InvalidDataError(f"{file.name} is not DICOM, which --dicom-seg needs")
        if len(file) > 1:
            msg = f"{file.name} has {len(file)} frames without a position in space"
            raise InvalidDataError(f"{msg}, which a DICOM segmentation needs; export one frame")
        missing = [word for word in _NEEDED if not file.header.get(word)]
        if missing:
            words = ", ".join(missing)
            raise InvalidDataError(f"{file.name} has no {words}; export it from the archive again")
        for word in _MAY_BE_EMPTY:
            if word not in file.header:
                setattr(file.header, word, "")
        return file.header

    def write(self, name: str, header: Any, mask: Mask, probability: Prob) -> None:
        """Write the two files of an image; `mask`, `probability`: (H, W) bool, and in [0, 1].

        The UIDs depend on image, model and program alone, so that writing them again makes no
        further series in an archive.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        both = (("BINARY", mask), ("FRACTIONAL", probability))
        for (kind, pixels), target in zip(both, file_names(name), strict=True):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about values of the source, which are kept
                    made = self._made(header, kind, pixels)
            except (AttributeError, TypeError, ValueError) as error:
                msg = f"{name}: its header makes no valid DICOM segmentation: {brief(error)}"
                raise InvalidDataError(f"{msg}; leave --dicom-seg out") from None
            with atomic(self.folder / target) as part:
                made.save_as(part)

    def _made(self, header: Any, kind: str, pixels: NDArray[Any]) -> Any:
        from highdicom.seg import Segmentation
        from pydicom.uid import generate_uid

        program = version("hgmnet")
        known = [header.SOPInstanceUID, self.sha256, program]
        made = Segmentation(
            [header],
            pixels,
            kind,
            [self._segment()],
            generate_uid(entropy_srcs=[*known, "series"]),
            _SERIES,
            generate_uid(entropy_srcs=[*known, kind]),
            1 if kind == "BINARY" else 2,
            manufacturer="HGM-Net",
            manufacturer_model_name="hgmnet",
            software_versions=program,
            device_serial_number=self.sha256[:_TEXT],
            content_label="LESION",
            content_description="Research use only; not a medical device",
            series_description=f"HGM-Net lesion, {self.model} {self.version}"[:_TEXT],
            omit_empty_frames=False,
        )
        made.PatientOrientation = header.PatientOrientation
        groups = made.SharedFunctionalGroupsSequence[0]
        if "PixelMeasuresSequence" in groups and "SliceThickness" not in header:
            del (
                groups.PixelMeasuresSequence
            )  # readers expect a thickness; the image has the spacing
        return made

    def _segment(self) -> Any:
        from highdicom import AlgorithmIdentificationSequence
        from highdicom.seg import SegmentDescription
        from pydicom.sr.codedict import codes

        algorithm = AlgorithmIdentificationSequence(
            self.model[:_TEXT],
            codes.cid7162.ArtificialIntelligence,
            self.version[:_TEXT],
            source="HGM-Net",
            parameters={"sha256": self.sha256},
        )
        return SegmentDescription(
            1,
            "Lesion",
            codes.SCT.MorphologicallyAbnormalStructure,
            codes.SCT.Lesion,
            "AUTOMATIC",
            algorithm,
            anatomic_regions=[codes.SCT.Breast],
        )


def _may_be_dicom(file: Path) -> bool:
    """Whether a file begins as DICOM; one that can't be read is reported later."""
    try:
        with file.open("rb") as opened:
            return is_dicom(opened.read(_HEAD))
    except OSError:
        return True
