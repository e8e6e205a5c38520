"""A video file with a known SHA-256, which is verified before the file is decoded."""

from __future__ import annotations

import hashlib
import os
import pathlib
from dataclasses import dataclass

from vidjax.data.video.container import check_file
from vidjax.errors import VideoError

IN_MEMORY = 128 << 20  # bytes; a larger file is hashed in one pass and then opened by its path


@dataclass(frozen=True)
class CheckedFile(os.PathLike[str]):
    """A file and its expected SHA-256.

    Attributes:
      path: path of the file.
      sha256: 32 bytes.
      listed_in: the list that holds the checksum, for messages.
    """

    path: str
    sha256: bytes
    listed_in: str

    def __fspath__(self) -> str:
        return self.path

    def verified(self) -> bytes | str:
        """Compare the file with its checksum and return its bytes, or its path if it is larger than IN_MEMORY bytes.

        Raises:
          VideoError: missing, empty or not_video as in `check_file`; corrupt when the checksum differs.
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
                f"{self.path} differs from the file listed in {self.listed_in}: its SHA-256 is {found.hex()[:12]}..., "
                f"not {self.sha256.hex()[:12]}...; restore the file, or remove its line if the change was intended",
            )
        return content


def sha256_of(path: str | os.PathLike) -> bytes:
    """The SHA-256 of a file as 32 bytes; the file is read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
