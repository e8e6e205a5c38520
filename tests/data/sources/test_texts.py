"""Names stored in two arrays equal those of a list."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidjax.data.sources import texts
from vidjax.data.sources.texts import GrowingTexts, Texts

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=40)


@settings(deadline=None)
@given(NAMES, st.data())
def test_texts_equal_a_list_also_after_selection(names, data):
    found = Texts.of(names)
    assert list(found) == names == [found[at] for at in range(len(found))]
    rows = data.draw(st.lists(st.integers(0, max(len(names) - 1, 0)), max_size=20 if names else 0))
    taken = found.take(np.array(rows, np.int32))
    assert list(taken) == [names[row] for row in rows]
    again = data.draw(st.lists(st.integers(0, max(len(rows) - 1, 0)), max_size=20 if rows else 0))
    twice = taken.take(np.array(again, np.int32))
    assert list(twice) == [names[rows[at]] for at in again]
    assert list(pickle.loads(pickle.dumps(twice))) == list(twice)


def test_blocks_that_lie_together_and_far_apart_are_the_same(monkeypatch):
    monkeypatch.setattr(texts, "_BLOCK", 7)
    names = [f"clip {number}.mp4" for number in range(100)]
    found = Texts.of(names)
    assert list(found) == names
    for rows in ([*range(3, 90)], [99, 0, 50, 3], [*range(0, 100, 13)]):
        taken = found.take(np.array(rows))
        assert list(taken) == [names[row] for row in rows]
        assert taken.digest() == Texts.of(names[row] for row in rows).digest()


def test_file_names_that_are_not_utf8_survive():
    name = b"caf\xe9 \xff.mp4".decode("utf-8", "surrogateescape")
    assert list(Texts.of([name, "caf\u00e9"])) == [name, "caf\u00e9"]


def test_hashes_differ_for_texts_with_equal_concatenations():
    assert len({Texts.of(names).digest() for names in (["ab", "c"], ["a", "bc"], ["c", "ab"], ["abc"], [])}) == 5


def test_texts_added_block_by_block_are_one_sequence():
    growing = GrowingTexts()
    for block in (["a", "b"], [], ["c" * 2**21], ["d"]):
        growing.add(block)
    found = growing.texts()
    assert [len(text) for text in found] == [1, 1, 2**21, 1]
    assert (found[0], found[-1]) == ("a", "d")
    with pytest.raises(IndexError):
        found[4]
