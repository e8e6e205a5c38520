"""A video stays on its side of the split, whatever is added."""

import hashlib
import posixpath

import numpy as np
import pytest

from vidjax.data.sources.hash_split import held_out, position

NAMES = [f"day {number % 7}/clip {number}.mp4" for number in range(2000)]


def by_hand(name, share):
    """The rule restated: the first 64 bits of SHA-256 as a fraction."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 2**64 < share


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_a_video_is_held_out_when_the_hash_of_its_name_is_below_the_share(share):
    out = held_out(NAMES, None, share=share)
    assert out.tolist() == [by_hand(name, share) for name in NAMES]
    assert abs(np.mean(out) - share) < 3 * np.sqrt(share * (1 - share) / len(NAMES))


def test_videos_added_later_move_none():
    before = dict(zip(NAMES[:100], held_out(NAMES[:100], None, share=0.2), strict=True))
    after = dict(zip(NAMES, held_out(NAMES, None, share=0.2), strict=True))
    assert before == {name: after[name] for name in before}
    shuffled = NAMES[::-1]
    assert dict(zip(shuffled, held_out(shuffled, None, share=0.2), strict=True)) == after


def test_a_larger_share_keeps_what_was_held_out():
    less, more = held_out(NAMES, None, share=0.1), held_out(NAMES, None, share=0.3)
    assert all(later for earlier, later in zip(less, more, strict=True) if earlier)


@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_every_class_of_two_videos_or_more_is_on_both_sides(count):
    names = [f"{label}/{number}.mp4" for label in range(300) for number in range(count)]
    classes = [name.split("/")[0] for name in names]
    held = dict.fromkeys(classes, 0)
    for label, out in zip(classes, held_out(names, classes, share=0.2), strict=True):
        held[label] += out
    assert set(held.values()) <= set(range(1, count))


def test_where_no_hash_is_below_the_share_the_lowest_is_held_out():
    names = [name for name in NAMES if not by_hand(name, 0.2)][:5]
    out = held_out(names, None, share=0.2)
    assert [name for name, held in zip(names, out, strict=True) if held] == [min(names, key=position)]
    below = [name for name in NAMES if by_hand(name, 0.2)][:5]
    out = held_out(below, None, share=0.2)
    assert [name for name, held in zip(below, out, strict=True) if not held] == [max(below, key=position)]


def one_after_the_other(names, classes, share):
    """The rule restated with a set of names per class: an empty side gets the nearest name."""
    held = {}
    for label in set(classes):
        of_class = sorted({name for name, own in zip(names, classes, strict=True) if own == label}, key=position)
        below = [name for name in of_class if by_hand(name, share)]
        if len(of_class) > 1:
            below = below or of_class[:1]
            below = below[:-1] if len(below) == len(of_class) else below
            held |= {(label, name): True for name in below}
    return [held.get((label, name), False) for name, label in zip(names, classes, strict=True)]


@pytest.mark.parametrize("share", [0.02, 0.2, 0.9])
def test_classes_of_any_size_and_repeated_names_are_divided_by_the_same_rule(share):
    rng = np.random.default_rng(0)
    names = [NAMES[row] for row in rng.integers(0, 300, 600)]
    classes = [int(label) for label in np.minimum(rng.geometric(0.05, 600), 60)]
    assert held_out(names, classes, share=share).tolist() == one_after_the_other(names, classes, share)
    together = held_out(names, None, share=share).tolist()
    assert together == one_after_the_other(names, [0] * len(names), share)


def test_a_single_video_of_a_class_is_trained_on():
    names = [f"{number}/only.mp4" for number in range(50)]
    assert not held_out(names, names, share=0.2).any()


def test_a_folder_stays_together_when_folders_are_divided():
    names = [f"scene {number % 40}/clip {number}.mp4" for number in range(400)]
    sides = {}
    for name, out in zip(names, held_out(names, None, share=0.2, by="folder"), strict=True):
        sides.setdefault(posixpath.dirname(name), set()).add(out)
    assert all(len(side) == 1 for side in sides.values())
    assert {folder for folder, side in sides.items() if side == {True}} == {
        folder for folder in sides if by_hand(folder, 0.2)
    }


def test_a_name_has_the_same_place_however_its_accents_are_stored():
    assert position("caf\u00e9.mp4") == position("cafe\u0301.mp4")
