"""A folder as a mapping from path to bytes; links that lead out of it are refused."""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from hgmnet.errors import InvalidDataError

MAX_FILE_BYTES = 512 * 2**20
"""A larger file is no image and is not read."""

Read = Callable[[], bytes]
Files = Mapping[PurePosixPath, Read]
"""What a source holds: by path, a way to read it."""


class Folder(Mapping[PurePosixPath, Read]):
    """The files of a folder, by their paths below it; what lies in it is looked at when asked for.

    A link is followed where it stays inside. One that leads out, a linked folder, a pipe and the
    like are refused: the first when it is read, a linked folder when the files are listed.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))

    def __getitem__(self, path: PurePosixPath) -> Read:
        there = self._root / path
        outside = path.is_absolute() or ".." in path.parts
        if outside or not os.path.lexists(there) or there.is_dir():
            raise KeyError(path)
        return partial(self._read, path)

    def __iter__(self) -> Iterator[PurePosixPath]:
        for here, folders, names in os.walk(self._root):
            folder = PurePosixPath(Path(here).relative_to(self._root).as_posix())
            folders.sort()
            for name in folders:
                if Path(here, name).is_symlink():
                    msg = f"{folder / name} is a linked folder; put the folder itself there"
                    raise InvalidDataError(msg)
            yield from (folder / name for name in sorted(names))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self, path: PurePosixPath) -> bytes:
        real = Path(os.path.realpath(self._root / path))
        problem = ""
        if not real.is_relative_to(self._root):
            problem = "is a link that leads out of the folder; put the file itself there"
        elif real.exists() and not real.is_file():
            problem = "is no plain file; remove it"
        if problem:
            msg = f"{path} {problem}"
            raise InvalidDataError(msg)
        try:
            if real.stat().st_size > MAX_FILE_BYTES:
                msg = f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB; that is no image"
                raise InvalidDataError(msg)
            return real.read_bytes()
        except OSError as error:
            msg = f"{path} can't be read: {error.strerror or error}; mend or remove it"
            raise InvalidDataError(msg) from None
