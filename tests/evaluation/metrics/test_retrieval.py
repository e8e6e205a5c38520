"""Ranks of retrieval: beside a plain loop over all pairs, by hand for equal captions, ties and unscored videos."""

import math

import numpy as np
import pytest

from vidjax.evaluation.metrics.retrieval import NEVER, Texts, chance, rank_pairs, summarise_ranks


def by_loops(video, captions, embedded, scored):
    """Ranks as the definition reads, one query at a time; `embedded` maps a text to its embedding."""
    similar = {text: video @ embedded[text] for own in captions for text in own}
    of_captions, of_videos = [], []
    for own in captions:
        for text in own:
            right = [v for v, theirs in enumerate(captions) if text in theirs and scored[v]]
            wrong = [v for v, theirs in enumerate(captions) if text not in theirs and scored[v]]
            best = max((similar[text][v] for v in right), default=None)
            of_captions.append(NEVER if best is None else 1 + sum(similar[text][v] >= best for v in wrong))
    for v, own in enumerate(captions):
        best = max(similar[text][v] for text in own)
        wrong = [text for text in similar if text not in own]
        of_videos.append(1 + sum(similar[text][v] >= best for text in wrong) if scored[v] else NEVER)
    return of_captions, of_videos


def test_ranks_are_those_of_a_loop_over_all_pairs(monkeypatch):
    monkeypatch.setattr("vidjax.evaluation.metrics.retrieval._BLOCK", 7)
    rng = np.random.default_rng(0)
    captions = [[f"t{rng.integers(12)}" for _ in range(rng.integers(1, 4))] for _ in range(20)]
    texts = Texts.of(captions)
    video, text = rng.normal(size=(20, 3)), rng.normal(size=(len(texts.texts), 3))
    scored = rng.random(20) > 0.2
    ranks = rank_pairs(video, text, texts, scored)
    of_captions, of_videos = by_loops(video, captions, dict(zip(texts.texts, text, strict=True)), scored)
    assert ranks.videos.tolist() == of_captions
    assert ranks.texts.tolist() == of_videos
    assert NEVER in of_videos


def test_an_equal_caption_of_another_video_is_a_right_answer_and_ties_count_against_the_model():
    texts = Texts.of([["a"], ["a"], ["b"]])
    assert texts.texts == ["a", "b"]
    video, text = np.eye(3), np.array([[0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    ranks = rank_pairs(video, text, texts, np.ones(3, bool))
    assert ranks.videos.tolist() == [1, 1, 1]  # the query "a" of video 0 finds video 1, which has the same caption
    assert ranks.texts.tolist() == [2, 1, 1]  # video 0 is equally far from both texts
    same = rank_pairs(np.ones((3, 1)), np.ones((2, 1)), texts, np.ones(3, bool))
    assert same.videos.tolist() == [2, 2, 3]
    assert same.texts.tolist() == [2, 2, 2]


def test_recall_counts_every_query_and_the_median_is_over_all_of_them():
    found = summarise_ranks(np.array([1, 3, 7, NEVER]))
    assert found == {"r1": 0.25, "r5": 0.5, "r10": 0.75, "median_rank": 5.0}
    assert summarise_ranks(np.array([1, NEVER, NEVER]))["median_rank"] == math.inf


def test_chance_is_the_share_that_random_embeddings_reach():
    rng = np.random.default_rng(1)
    captions = [[f"t{rng.integers(15)}" for _ in range(2)] for _ in range(30)]
    texts = Texts.of(captions)
    expected, tries = chance(texts, 30), 400
    sums = dict.fromkeys(expected, 0.0)
    for _ in range(tries):
        ranks = rank_pairs(rng.normal(size=(30, 25)), rng.normal(size=(len(texts.texts), 25)), texts, np.ones(30, bool))
        for way, own in (("t2v", ranks.videos), ("v2t", ranks.texts)):
            for name, value in summarise_ranks(own).items():
                if name != "median_rank":
                    sums[f"{way}_{name}"] += value / tries
    assert sums == pytest.approx(expected, abs=0.02)  # 5 standard errors of the mean of 400 tries
    assert expected["t2v_r1"] == pytest.approx(
        np.mean([np.mean([t in own for own in captions]) for c in captions for t in c])
    )
