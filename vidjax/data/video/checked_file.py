"""A video file whose SHA-256 is known: what is decoded are bytes that have it."""

from __future__ import annotations

import hashlib
import os
import pathlib
from dataclasses import dataclass

from vidjax.data.video.container import check_file
from vidjax.errors import VideoError

IN_MEMORY = 128 << 20  # bytes; a larger file is hashed in one pass and opened afterwards


@dataclass(frozen=True)
class CheckedFile(os.PathLike[str]):
    """A file, and the SHA-256 that it must have.

    Attributes:
      path: of the file.
      sha256: 32 bytes.
      listed_in: the list that has the checksum, for messages.
    """

    path: str
    sha256: bytes
    listed_in: str

    def __fspath__(self) -> str:
        return self.path

    def verified(self) -> bytes | str:
        """The file's bytes, or of a file over IN_MEMORY bytes its path, once all of it has been read and compared.

        Raises:
          VideoError: missing, empty or not_video as `check_file`; corrupt when the checksum differs.
        """
        check_file(self.path)
        try:
            small = os.path.getsize(self.path) <= IN_MEMORY
            content = pathlib.Path(self.path).read_bytes() if small else self.path
            found = hashlib.sha256(content).digest() if isinstance(content, bytes) else sha256_of(content)
        except OSError as error:
            raise VideoError("missing", f"{self.path} cannot be read: {error.strerror}") from error
        if found != self.sha256:
            raise VideoError(
                "corrupt",
                f"{self.path} is not the file that {self.listed_in} lists: its SHA-256 is {found.hex()[:12]}..., not "
                f"{self.sha256.hex()[:12]}...; bring back the file, or remove its line if the change was meant",
            )
        return content


def sha256_of(path: str | os.PathLike) -> bytes:
    """The SHA-256 of a file, 32 bytes; it is read a piece at a time."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
