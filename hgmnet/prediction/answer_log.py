"""Log of the answers that were served: JSON lines, each with the hash of the one before.

It has no pixels, no file names and no patient's tags: an image is the SHA-256 of its file. A
changed, removed or inserted line breaks the chain, but for the last one: a change of it, or that
lines were cut off, shows only against a head noted elsewhere.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from hgmnet.config.base import Frozen
from hgmnet.errors import ConfigError, InvalidDataError

FILE_BYTES = 2**26
"""A file is followed by a new one at this size."""


class LoggedAnswer(Frozen):
    """One answer.

    `previous`: SHA-256 of the line before, also across files; empty for the first. `when`: UTC, ISO
    8601. `version`: empty for a model folder. `image_sha256`: of the file as it was sent. `frame`:
    its number from 1; 0 for the only one. `seconds`: until the answer; over HTTP from the request,
    so for all images of a batch, else of this image alone.
    """

    previous: str
    when: str
    model: str
    version: str
    model_sha256: str
    image_sha256: str
    frame: int
    decision: str
    refer: bool
    seconds: float


@dataclass(frozen=True)
class AnswerLog:
    """A folder of files `answers-<number>.jsonl`; several processes may append to it."""

    folder: Path
    file_bytes: int = FILE_BYTES

    def append(self, answers: Sequence[LoggedAnswer]) -> None:
        """Append answers, whose `previous` is filled in; they are on the disk afterwards.

        Raises:
            OSError: they could not be written.
        """
        if not answers:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            last = self.files()[-1:]
            ends = (end for file in reversed(self.files()) if (end := _end(file)))
            previous = next(ends, "")
            lines = []
            for answer in answers:
                line = answer.model_copy(update={"previous": previous}).model_dump_json()
                previous = _hash(line)
                lines.append(f"{line}\n")
            number = int(last[0].stem.rpartition("-")[2]) if last else 1
            if last and last[0].stat().st_size >= self.file_bytes:
                number += 1
            with (self.folder / f"answers-{number:06d}.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())

    def files(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self.folder.glob("answers-*.jsonl"))

    def read(self) -> Iterator[tuple[LoggedAnswer, str]]:
        """Verify the chain and yield every answer with the hash of its line, oldest first.

        Raises:
            ConfigError: there is no log.
            InvalidDataError: a line was changed, removed or inserted; the message names it.
        """
        if not self.files():
            raise ConfigError(f"{self.folder} has no log of answers (answers-*.jsonl)")
        previous = ""
        for path, size in self._sizes():
            with path.open("rb") as file:
                lines = file.read(size).split(b"\n")
            for number, line in enumerate(lines[:-1] if lines[-1] == b"" else lines, start=1):
                try:
                    answer = LoggedAnswer.model_validate_json(line)
                except ValidationError:
                    raise InvalidDataError(
                        f"{path}, line {number} is no answer: it was changed, or cut short"
                    ) from None
                if answer.previous != previous:
                    raise InvalidDataError(
                        f"{path}, line {number} does not name the hash of the one before: that one "
                        "was changed, removed or exchanged"
                    )
                previous = hashlib.sha256(line).hexdigest()
                yield answer, previous

    def _sizes(self) -> list[tuple[Path, int]]:
        """The files with their sizes between two appends; a log that one may only read as it is."""
        try:
            with FileLock(self.folder / ".lock"):
                return [(path, path.stat().st_size) for path in self.files()]
        except OSError:
            return [(path, path.stat().st_size) for path in self.files()]


def logged(
    image_sha256: str, row: Mapping[str, object], seconds: float, frame: int = 0
) -> LoggedAnswer:
    """Make the entry of one image from its row, with the columns of prediction and model."""
    return LoggedAnswer(
        previous="",
        when=datetime.now(UTC).isoformat(timespec="milliseconds"),
        model=str(row["model"]),
        version=str(row.get("version", "")),
        model_sha256=str(row["model_sha256"]),
        image_sha256=image_sha256,
        frame=frame,
        decision=str(row["decision"] or ""),
        refer=bool(row["refer"]),
        seconds=round(seconds, 4),
    )


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _end(path: Path) -> str:
    """Hash of a file's last line; what a killed process left of one after it is removed.

    An answer is sent after its line is written, so nobody has seen an answer of half a line.
    """
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - 65_536)
        file.seek(start)
        whole, newline, rest = file.read().rpartition(b"\n")
        if rest:
            file.truncate(size - len(rest))
        return hashlib.sha256(whole.rpartition(b"\n")[2]).hexdigest() if newline else ""
