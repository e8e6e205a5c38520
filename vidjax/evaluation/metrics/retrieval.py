"""Recall and ranks of retrieval between videos and the captions that describe them.

Equal captions are one text, and a text describes every video that has it as a caption. The rank of a query is 1 + the
number of wrong answers that are at least as similar as its most similar right one: ties count against the model, so a
model that embeds everything alike finds nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

RECALL_AT = (1, 5, 10)
NEVER = np.iinfo(np.int64).max  # the rank of a query without a scored answer
_BLOCK = 1024  # texts compared with all videos at once


@dataclasses.dataclass(frozen=True)
class Texts:
    """The distinct captions of a split, and the videos that they describe.

    Attributes:
      texts: the distinct captions, in the order of their first video.
      of_caption: the text of every caption, video by video.
      video_of: the video of every caption.
    """

    texts: list[str]
    of_caption: Int64[np.ndarray, " captions"]
    video_of: Int64[np.ndarray, " captions"]

    @classmethod
    def of(cls, captions: Sequence[Sequence[str]]) -> Texts:
        """Number the captions of each video."""
        numbers: dict[str, int] = {}
        found = [numbers.setdefault(text, len(numbers)) for own in captions for text in own]
        videos = np.repeat(np.arange(len(captions)), [len(own) for own in captions])
        return cls(list(numbers), np.array(found, np.int64), videos)

    def pairs(self) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
        """Return the text and the video of every distinct pair, sorted by text."""
        found = np.unique(np.stack([self.of_caption, self.video_of], axis=1), axis=0)
        return found[:, 0], found[:, 1]


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The rank of every query.

    Attributes:
      videos: for every caption, the rank of the first video that it describes, among all videos.
      texts: for every video, the rank of the first of its captions, among all distinct captions.
    """

    videos: Int64[np.ndarray, " captions"]
    texts: Int64[np.ndarray, " videos"]


def rank_pairs(
    video: Float[np.ndarray, "v e"], text: Float[np.ndarray, "t e"], texts: Texts, scored: Bool[np.ndarray, " v"]
) -> Ranks:
    """Rank videos for texts, and texts for videos, by the products of their embeddings.

    Args:
      video: embeddings of the videos.
      text: embeddings of `texts.texts`.
      scored: whether a video has an embedding. A video without one is never found, and its own rank as a query is
        `NEVER`. So is the rank of a caption that describes no scored video.
    """
    of_text, of_video = texts.pairs()
    known = scored[of_video]
    of_text, of_video = of_text[known], of_video[known]

    def blocks():  # computed twice in the same way, so that equal embeddings tie exactly
        for first in range(0, len(text), _BLOCK):
            part = slice(first, min(first + _BLOCK, len(text)))
            pairs = slice(*np.searchsorted(of_text, [part.start, part.stop]))
            yield part, of_text[pairs] - first, of_video[pairs], text[part] @ video.T

    best_of_text, best_of_video = (np.full(count, -np.inf) for count in (len(text), len(video)))
    for part, rows, columns, similar in blocks():
        np.maximum.at(best_of_text[part], rows, similar[rows, columns])
        np.maximum.at(best_of_video, columns, similar[rows, columns])
    above_text, above_video = np.zeros(len(text), np.int64), np.zeros(len(video), np.int64)
    for part, rows, columns, similar in blocks():
        similar[rows, columns] = -np.inf  # right answers do not count against themselves
        similar[:, ~scored] = -np.inf
        above_text[part] = (similar >= best_of_text[part, None]).sum(axis=1)
        above_video += (similar >= best_of_video[None]).sum(axis=0)
    ranks_of_text = np.where(np.isfinite(best_of_text), above_text + 1, NEVER)
    return Ranks(ranks_of_text[texts.of_caption], np.where(np.isfinite(best_of_video), above_video + 1, NEVER))


def summarise_ranks(ranks: Int64[np.ndarray, " queries"]) -> dict[str, float]:
    """Return recall at 1, 5 and 10 (`r1`, ...) and the median rank, over all queries; unanswered ones are wrong."""
    recalls = {f"r{k}": float((ranks <= k).mean()) for k in RECALL_AT}
    middle = np.sort(ranks)[[(len(ranks) - 1) // 2, len(ranks) // 2]].astype(np.float64)
    return recalls | {"median_rank": float(middle.mean()) if middle.max() < NEVER else math.inf}


def chance(texts: Texts, num_videos: int) -> dict[str, float]:
    """Return the recall at 1, 5 and 10 that a random order is expected to reach, from texts to videos and back.

    If r of n candidates are right, at least one is among the first k with probability 1 - C(n - r, k) / C(n, k).
    """
    of_text, of_video = texts.pairs()
    videos_of_text = np.bincount(of_text, minlength=len(texts.texts))
    texts_of_video = np.bincount(of_video, minlength=num_videos)
    found = {}
    for k in RECALL_AT:
        hits = [_hit(int(right), num_videos, k) for right in videos_of_text[texts.of_caption]]
        found[f"t2v_r{k}"] = float(np.mean(hits))
        found[f"v2t_r{k}"] = float(np.mean([_hit(int(right), len(texts.texts), k) for right in texts_of_video]))
    return found


def _hit(right: int, among: int, k: int) -> float:
    k = min(k, among)
    return 1.0 - math.comb(among - right, k) / math.comb(among, k)
