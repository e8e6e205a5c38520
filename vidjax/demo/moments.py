"""An index that a page can search, with the model that made it."""

from __future__ import annotations

import dataclasses
import html
import os

import numpy as np
from jaxtyping import Float

from vidjax.demo import parts
from vidjax.demo.uploads import Tell, Upload
from vidjax.demo.work import watched
from vidjax.search.index_header import EMBEDDING
from vidjax.search.page import clock
from vidjax.search.pictures import moment_pictures
from vidjax.search.queries import Asker
from vidjax.search.search_index import Moment, SearchIndex

_TOP = 8  # moments shown


@dataclasses.dataclass(frozen=True)
class Searched:
    """An index in memory, and the asker that embeds queries for it.

    Attributes:
      name: the last part of the index's path.
    """

    index: SearchIndex
    asker: Asker
    name: str

    @property
    def takes_text(self) -> bool:
        """Whether the index can be searched with a text."""
        return self.index.header.feature == EMBEDDING

    @property
    def about(self) -> str:
        """A one-line description."""
        return f"{len(self.index)} windows of {len(self.index.videos)} videos, by a {self.asker.model.family}"

    def like(self, upload: Upload, tell: Tell) -> str:
        """Return the moments that are most like a visitor's video, as HTML.

        Raises:
          VideoError: when the video cannot be decoded.
        """
        vectors, _ = watched(tell, "searching", lambda advance: self.asker.of_video(upload.path, advance))
        return self._drawn(vectors)

    def described(self, text: str, tell: Tell) -> str:
        """Return the moments that a text describes, as HTML.

        Raises:
          ConfigError: for an empty text, or one that is too long for the model.
        """
        return self._drawn(watched(tell, "searching", lambda _: self.asker.of_text(text)))

    def _drawn(self, vectors: Float[np.ndarray, "q d"]) -> str:
        moments = self.index.search(vectors, _TOP)
        figures = "".join(_figure(moment) for moment in moments)
        count = f"The best of {self.about}. The score is a cosine, from -1 to 1."
        return f'<div class="vj-moving">{figures}</div><p class="vj-small">{parts.text(count)}</p>'


def _figure(moment: Moment) -> str:
    """Return a moment as a looping clip with its video's name, without the folder, which may be private."""
    frames, rate = moment_pictures(moment.video, moment.start, moment.end)
    name = os.path.basename(moment.video)
    shown = f'<img src="{parts.animation(frames, rate)}" alt="{html.escape(name)}">' if len(frames) else ""
    times = clock({"start": moment.start, "end": moment.end})
    return f"<figure>{shown}<figcaption>{moment.score:.3f}<br>{parts.text(name)}<br>{times}</figcaption></figure>"
