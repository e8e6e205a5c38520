"""Windows become segments: boundaries half-way, flickers merged into their neighbours, overlapping labels."""

import itertools

import numpy as np
import pytest

from vidjax.evaluation.timeline import best_segments, likely_segments, own_times


def sliding(count, every=0.5, length=2.0):
    starts = np.arange(count) * every
    return np.stack([starts, starts + length], axis=1)


def said(labels, share=0.8, classes=3):
    """Shares of windows, each of which gives `share` to one class and the rest equally to the others."""
    shares = np.full((len(labels), classes), (1 - share) / (classes - 1))
    shares[np.arange(len(labels)), labels] = share
    return shares


def told(segments):
    return [(segment.start, segment.end, segment.number) for segment in segments]


def test_a_window_stands_for_the_times_nearest_to_its_middle_within_itself():
    np.testing.assert_allclose(own_times(sliding(3)), [[0, 1.25], [1.25, 1.75], [1.75, 3.0]])
    apart = np.array([[0.0, 2.0], [5.0, 7.0]])
    np.testing.assert_allclose(own_times(apart), apart)
    closer_at_the_end = np.array([[0.0, 2.0], [2.0, 4.0], [3.0, 5.0]])
    np.testing.assert_allclose(own_times(closer_at_the_end), [[0, 2], [2, 3.5], [3.5, 5]])


def test_consecutive_windows_with_one_answer_are_a_segment_with_their_mean_probability():
    shares = said([0, 0, 0, 1, 1, 1])
    shares[0] = (0.5, 0.25, 0.25)
    first, second = best_segments(sliding(6), shares)
    assert (first.start, first.end, first.number, first.windows, first.agree) == (0.0, 2.25, 0, 3, 3)
    assert first.probability == pytest.approx((0.5 + 0.8 + 0.8) / 3)
    assert (second.start, second.end, second.number) == (2.25, 4.5, 1)


def test_a_flicker_shorter_than_half_a_window_is_merged_into_its_neighbours():
    [segment] = best_segments(sliding(9), said([0] * 4 + [2] + [0] * 4))
    assert (segment.start, segment.end, segment.windows, segment.agree) == (0.0, 6.0, 9, 8)
    assert segment.probability == pytest.approx((8 * 0.8 + 0.1) / 9)


def test_half_a_window_is_not_a_flicker():
    assert told(best_segments(sliding(10), said([0] * 4 + [2] * 2 + [0] * 4))) == [
        (0.0, 2.75, 0), (2.75, 3.75, 2), (3.75, 6.5, 0),
    ]  # fmt: skip
    contiguous = sliding(3, every=2.0)
    assert [segment.number for segment in best_segments(contiguous, said([0, 1, 0]))] == [0, 1, 0]


def test_a_flicker_between_two_classes_is_divided_where_they_are_most_probable():
    shares = said([0, 0, 0, 2, 1, 1, 1], share=0.6)
    shares[3] = (0.3, 0.1, 0.6)
    assert told(best_segments(sliding(7), shares)) == [(0.0, 2.75, 0), (2.75, 5.0, 1)]
    shares[3] = (0.1, 0.3, 0.6)
    assert told(best_segments(sliding(7), shares)) == [(0.0, 2.25, 0), (2.25, 5.0, 1)]


def test_a_video_that_only_flickers_still_has_a_timeline():
    shares = said([0, 1] * 10)
    segments = best_segments(sliding(20), shares)
    assert segments[0].start == 0.0
    assert segments[-1].end == 11.5
    assert all(one.end == two.start for one, two in itertools.pairwise(segments))
    assert all(segment.end - segment.start >= 1.0 for segment in segments)


def test_segments_below_the_threshold_are_left_out():
    shares = np.concatenate([said([0] * 4), said([1] * 4, share=0.4)])
    assert told(best_segments(sliding(8), shares, threshold=0.5)) == [(0.0, 2.75, 0)]


def test_simultaneous_labels_have_overlapping_segments():
    shares = np.zeros((8, 3))
    shares[:5, 0], shares[3:, 1], shares[2, 2] = 0.9, 0.7, 0.99
    first, second = likely_segments(sliding(8), shares, 0.5)  # the third flickers
    assert (first.start, first.end, first.number, first.probability) == (0.0, 3.25, 0, pytest.approx(0.9))
    assert (second.start, second.end, second.number, second.probability) == (2.25, 5.5, 1, pytest.approx(0.7))
    assert likely_segments(sliding(8), shares, 0.995) == []


def test_one_window_is_one_segment():
    assert told(best_segments(sliding(1), said([1]))) == [(0.0, 2.0, 1)]
