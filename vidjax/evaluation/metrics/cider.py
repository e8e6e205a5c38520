"""CIDEr-D (Vedantam et al. 2015, section 5): the consensus of a caption with its references, by weighted n-grams.

As in the authors' code, term frequencies are counts, and document frequencies are taken over videos.
"""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_ORDERS = 4
_SIGMA = 6.0  # width of the penalty on a different length, in words
_WORD = re.compile(r"[\w'-]+")
Grams = collections.Counter  # of tuples of words


def cider_d(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Float[np.ndarray, " n"]:
    """Return the score of each caption, in [0, 10]; the score of a data set is the mean.

    Args:
      captions: one per video.
      references: at least one per video; they determine how rare an n-gram is, so every score depends on all of them.
    """
    words = [[_words(text) for text in own] for own in references]
    frequency = Grams(gram for own in words for gram in set().union(*(_grams(text) for text in own)))
    log_n = math.log(len(references))

    def vectors(text: list[str]) -> list[dict[tuple[str, ...], float]]:
        """Return g^n of each order n: count times inverse document frequency."""
        found: list[dict] = [{} for _ in range(_ORDERS)]
        for gram, count in _grams(text).items():
            found[len(gram) - 1][gram] = count * (log_n - math.log(max(frequency[gram], 1)))
        return found

    scores = []
    for caption, own in zip(captions, words, strict=True):
        text = _words(caption)
        ours = vectors(text)
        each = [
            math.exp(-((len(text) - len(other)) ** 2) / (2 * _SIGMA**2))
            * sum(map(_similarity, ours, vectors(other))) / _ORDERS
            for other in own
        ]  # fmt: skip
        scores.append(10 * sum(each) / len(each))
    return np.array(scores)


def _similarity(ours: dict, theirs: dict) -> float:
    """Return the cosine similarity, with our weights clipped to the reference's; 0 if either has no weight."""
    norms = math.sqrt(sum(w * w for w in ours.values()) * sum(w * w for w in theirs.values()))
    return (
        sum(min(w, theirs[gram]) * theirs[gram] for gram, w in ours.items() if gram in theirs) / norms if norms else 0.0
    )


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: list[str]) -> Grams:
    return Grams(tuple(words[i : i + n]) for n in range(1, _ORDERS + 1) for i in range(len(words) - n + 1))
