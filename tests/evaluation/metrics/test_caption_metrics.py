"""Scores of captions against figures worked out by hand from the papers' definitions."""

import math

import numpy as np
import pytest

from vidjax.evaluation.metrics.captions import best_constant, bleu, rouge, score_captions
from vidjax.evaluation.metrics.cider import cider_d

PERFECT = ["a red five moves left quickly", "a blue two shrinks slowly"]


def test_captions_equal_to_their_references_have_the_highest_scores():
    scores = score_captions(PERFECT, [[text] for text in PERFECT])
    assert {name: value for name, value in scores.items() if name != "cider"} == pytest.approx(
        dict.fromkeys(("bleu1", "bleu2", "bleu3", "bleu4", "rouge1", "rouge2", "rougeL"), 1.0)
    )
    assert scores["cider"] == pytest.approx(10.0)


def test_captions_without_a_common_word_and_empty_captions_score_zero():
    for caption in ("completely other words here", ""):
        assert set(score_captions([caption] * 2, [[text] for text in PERFECT]).values()) == {0.0}


def test_bleu_follows_papineni():
    """5 of 6 words, 3 of 5 pairs, 2 of 4 triples and 1 of 3 fours match; the lengths are equal, so no penalty."""
    caption, own = ["a red five moves right quickly"], [["a red five moves left quickly"]]
    precisions = [5 / 6, 3 / 5, 2 / 4, 1 / 3]
    for order in range(1, 5):
        assert bleu(caption, own, order) == pytest.approx(math.prod(precisions[:order]) ** (1 / order))


def test_bleu_counts_over_the_whole_data_set_and_punishes_short_captions():
    captions, own = ["the cat", "a dog runs"], [["the cat sat down"], ["a dog runs"]]
    assert bleu(captions, own, 1) == pytest.approx(math.exp(1 - 7 / 5))


def test_bleu_uses_the_best_reference_for_videos_with_different_numbers_of_them():
    captions = ["a man sits", "a dog runs fast today"]
    own = [["someone is there", "a man sits"], ["a dog runs fast today"]]
    assert bleu(captions, own, 2) == pytest.approx(1.0)
    assert rouge(captions, own)["rougeL"] == pytest.approx(1.0)


def test_rouge_follows_lin():
    """4 common words of 5 and 4, 2 common pairs of 4 and 3; the longest common subsequence is "the cat sat"."""
    scores = rouge(["the cat sat quietly mats"], [["the mats cat sat"]])
    assert scores["rouge1"] == pytest.approx(2 * (4 / 5) * (4 / 4) / (4 / 5 + 4 / 4))
    assert scores["rouge2"] == pytest.approx(2 * (1 / 4) * (1 / 3) / (1 / 4 + 1 / 3))
    assert scores["rougeL"] == pytest.approx(2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4))


def test_cider_of_one_word_captions_is_the_cosine_of_single_words():
    """Each order counts a quarter; orders above one have no n-grams here."""
    assert cider_d(["red", "blue"], [["red"], ["green"]]).tolist() == pytest.approx([2.5, 0.0])


def test_cider_weighs_words_by_rarity_clips_repetitions_and_punishes_length():
    """Worked out with the paper's equations and the authors' counts, for two videos.

    "a" is in both videos' references: its weight is log(2 / 2) = 0. "dog" and "runs" weigh log 2 each. For the caption
    "a dog dog", words: ours (a 0, dog 2 log 2), theirs (dog log 2, runs log 2); the clipped product is log 2 ** 2 over
    norms 2 log 2 and sqrt(2) log 2. Pairs: ours "a dog", "dog dog"; "dog dog" is unknown and weighs log 2 as if it were
    in one video; theirs "a dog", "dog runs": product log 2 ** 2 over norms sqrt(2) log 2, sqrt(2) log 2. There are no
    common triples. It is as long as the reference, so there is no penalty. The longer caption has one more word, which
    is unknown.
    """
    own = [["a dog runs"], ["a cat"]]
    words, pairs = 1 / (2 * math.sqrt(2)), 1 / 2
    assert cider_d(["a dog dog", "a cat"], own)[0] == pytest.approx(10 * (words + pairs) / 4)
    longer = cider_d(["a dog runs there", "a cat"], own)[0]
    penalty = math.exp(-1 / (2 * 36))
    words, pairs, triples = 2 / math.sqrt(2 * 3), 2 / math.sqrt(2 * 3), 1 / math.sqrt(2)
    assert longer == pytest.approx(10 * penalty * (words + pairs + triples) / 4)


def test_cider_is_the_mean_over_references():
    own = [["a dog runs", "a bird sings"], ["a cat"]]
    one = cider_d(["a dog runs", "a cat"], own)[0]
    both = np.mean([cider_d(["a dog runs", "a cat"], [[text], ["a cat"]])[0] for text in own[0]])
    assert one == pytest.approx(both, rel=1e-6)


def test_the_constant_is_the_caption_that_fits_most_videos():
    own = [["a red five moves left"], ["a red five moves left"], ["a blue one moves left"], ["nobody is here at all"]]
    assert best_constant(own) == "a red five moves left"
