"""Find names of images and patients that look like people's names."""

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"(?<![^\W_])[^\W\d_]{3,}(?![^\W_])")  # letters alone: no digit beside them
_HEXADECIMAL = re.compile(r"[a-f]+")
_FIELD = (
    "abus adenosis anon anonymous annotated aug axial benign bilateral birads bmode breast busi "
    "calcification cancer carcinoma case clinic control copy crop cropped cyst dcm dcis device "
    "dicom doppler exam export fibroadenoma frame frames horizontal hospital idc image images img "
    "lateral left lesion longitudinal malignant mask masked mass medial negative new no normal "
    "old original papilloma part patient phantom pic picture png positive radial resized right "
    "roi sagittal sample scan screening segmentation series site slice study subject test train "
    "transverse tumor tumour ultrasound unknown val view vertical video"
)
_USUAL = frozenset(_FIELD.split())
"""Words of this field in file names, in lower case."""


def like_people(names: Sequence[str]) -> list[str]:
    """Return the names that may be a person's, in the given order.

    `names`: of all images, without folder and suffix, or of all patients. A name counts if DICOM's
    separator `^` is in it, or a word that is neither usual in this field nor in half of the names,
    as a clinic's own prefix would be. It may be something else: a person must look.
    """
    words = [{word for word in _WORD.findall(name.lower()) if _telling(word)} for name in names]
    often = Counter(word for found in words for word in found)
    rare = {word for word, count in often.items() if 2 * count < len(names)}
    return [name for name, found in zip(names, words, strict=True) if found & rare or "^" in name]


def _telling(word: str) -> bool:
    return word not in _USUAL and not _HEXADECIMAL.fullmatch(word)
