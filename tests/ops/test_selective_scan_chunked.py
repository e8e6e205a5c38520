"""Both forms of the portable scan, for CPUs and for everything else, wherever the tests run."""

import functools

import pytest
from scans import compare, operands

from vidjax.ops.scan import chunked

CHUNK, STRETCH = chunked.CHUNK, chunked.STRETCH


@pytest.fixture
def everywhere(monkeypatch):
    """Use one form of each pass on every platform."""

    def take(index):
        monkeypatch.setattr(chunked, "by_platform", lambda *forms: functools.partial(forms[index], reverse=forms[2]))

    return take


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, CHUNK + 1, STRETCH * CHUNK, 2 * STRETCH * CHUNK + 3])
def test_parallel_stretches_follow_the_recurrence(everywhere, length, reverse):
    everywhere(1)
    compare(operands(length), "chunked", reverse)


@pytest.mark.parametrize(
    "scales",
    [
        pytest.param({"decay": 16.0, "step": 30.0}, id="decays that underflow"),
        pytest.param({"decay": 1e-2, "step": 1e-4}, id="steps that hardly forget"),
    ],
)
def test_stretches_hand_over_extreme_states(everywhere, scales):
    everywhere(1)
    compare(operands(3 * STRETCH * CHUNK, rows=1, **scales), "chunked")


@pytest.mark.parametrize(("rows", "together"), [(6, 1), (6, 3), (6, 4), (7, 4)])
@pytest.mark.parametrize("reverse", [False, True])
def test_rows_in_turns_follow_the_recurrence(everywhere, monkeypatch, rows, together, reverse):
    everywhere(0)
    states_of_a_row = 5 * 3 * 4  # bytes
    monkeypatch.setattr(chunked, "CACHED", together * states_of_a_row)
    compare(operands(CHUNK + 3, rows=rows), "chunked", reverse)
