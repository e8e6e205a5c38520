"""The splits to prepare, pickled as the configuration that opens them on other machines."""

from __future__ import annotations

import functools
import socket
from collections.abc import Sequence

from vidjax.config import DataConfig
from vidjax.data.open import open_videos
from vidjax.data.sources.base import VideoSource
from vidjax.errors import DataError


class Splits(dict[str, VideoSource]):
    """The videos of each split.

    Pickling stores the configuration instead of what may be millions of rows. Each process of a cluster opens the
    splits once, and stops if it finds different videos.
    """

    def __init__(self, data: DataConfig, names: Sequence[str]):
        super().__init__({name: open_videos(data, name) for name in names})
        self._data, self._names = data, tuple(names)

    def __reduce__(self):
        return _open_again, (self._data, self._names, tuple(source.content_id for source in self.values()))


@functools.lru_cache(maxsize=1)
def _open_again(data: DataConfig, names: tuple[str, ...], contents: tuple[str, ...]) -> Splits:
    """Open the splits on another machine.

    Raises:
      DataError: when a split differs from the same split on the machine that sent the work.
    """
    found = Splits(data, names)
    for (name, source), content in zip(found.items(), contents, strict=True):
        if source.content_id != content:
            raise DataError(
                f"{socket.gethostname()} sees different videos in split {name!r} of {data.root} than the machine that "
                "sent the work; all machines must see the same folder under the same path"
            )
    return found
