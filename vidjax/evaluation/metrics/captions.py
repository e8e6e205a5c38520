"""Compare captions with their references: BLEU-1..4, ROUGE-1/2/L and CIDEr-D over a whole data set.

BLEU is computed by sacrebleu (13a tokens, lower case, no smoothing), ROUGE by rouge-score (F, best reference).
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import cast

import numpy as np

from vidjax.evaluation.metrics.cider import cider_d

FIGURES = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge1", "rouge2", "rougeL", "cider")
_CANDIDATES = 32  # number of most frequent references to choose the constant caption from


def score_captions(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Compute all `FIGURES`; BLEU and ROUGE are fractions in [0, 1], CIDEr-D is in [0, 10].

    Args:
      captions: one per video; an empty caption matches nothing.
      references: at least one per video.
    """
    return {
        **{f"bleu{n}": bleu(captions, references, n) for n in range(1, 5)},
        **rouge(captions, references),
        "cider": float(cider_d(captions, references).mean()),
    }


def bleu(captions: Sequence[str], references: Sequence[Sequence[str]], order: int) -> float:
    """Return corpus BLEU with n-grams of up to `order` words (Papineni et al. 2002), in [0, 1]."""
    from sacrebleu.metrics import BLEU

    most = max(map(len, references))
    streams = [[own[place] if place < len(own) else None for own in references] for place in range(most)]
    metric = BLEU(max_ngram_order=order, lowercase=True, smooth_method="none")
    # A video with fewer references than others has None in place of the missing ones, as sacrebleu documents.
    return metric.corpus_score(list(captions), cast("list[Sequence[str]]", streams)).score / 100


def rouge(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the mean over videos of the F-measure of ROUGE-1, -2 and -L (Lin 2004) with the best reference."""
    from rouge_score.rouge_scorer import RougeScorer

    names = ("rouge1", "rouge2", "rougeL")
    scorer = RougeScorer(names)
    scores = [scorer.score_multi(own, caption) for caption, own in zip(captions, references, strict=True)]
    return {name: float(np.mean([score[name].fmeasure for score in scores])) for name in names}


def best_constant(references: Sequence[Sequence[str]]) -> str:
    """Choose the caption for all videos: of the most frequent references, the one that scores best by BLEU-4.

    BLEU-2 decides ties, for example if every reference is shorter than four words.
    """
    counts = collections.Counter(text for own in references for text in own)
    likely = [text for text, _ in counts.most_common(_CANDIDATES)]

    def worth(text: str) -> tuple[float, ...]:
        return tuple(bleu([text] * len(references), references, order) for order in (4, 2))

    return max(likely, key=worth)
