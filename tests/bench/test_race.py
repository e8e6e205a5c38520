"""Rounds take turns, the fastest counts, and a failed peer is left out with a message."""

import time

import pytest

from vidjax.bench.race import race


def test_contenders_take_turns_after_warming_up():
    order = []

    def contender(name):
        def run(count):
            order.append(name)
            time.sleep(0.4 * count)

        return run

    race({"a": contender("a"), "b": contender("b")}, rounds=2)
    assert order == ["a", "a", "b", "b", "a", "b", "a", "b"]


def test_every_round_is_returned_and_short_calls_are_repeated_within_one():
    counts, pauses = [], iter([0.03, 0.03, 0.05, 0.03, 0.04])

    def run(count):
        counts.append(count)
        time.sleep(next(pauses) * count)

    seconds = race({"it": run}, rounds=3)["it"]
    assert counts[:2] == [1, 1]
    assert min(counts[2:]) > 1
    assert [second >= pause for second, pause in zip(seconds, (0.05, 0.03, 0.04), strict=True)] == [True] * 3
    assert 0.03 <= min(seconds) < 0.04


def test_a_failed_peer_is_left_out_with_the_reason_but_our_failure_raises():
    def broken(count):
        raise MemoryError("no room for 80 GB\nand a long trace")

    said = []
    seconds = race({"us": lambda count: None, "them": broken}, 1, peers=("them",), remark=said.append)
    assert set(seconds) == {"us"}
    assert said == ["them is left out: MemoryError: no room for 80 GB"]
    with pytest.raises(MemoryError):
        race({"us": broken}, 1)
