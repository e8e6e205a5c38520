"""Models agree if the names of their best classes are equal; models that cannot be compared are not."""

import pytest

from vidjax.evaluation.agreement import Said, agreement

LABELS = ("Riding_a_bike", "juggling-balls", "Zumba")


def test_the_share_is_of_the_videos_that_both_answered():
    first = Said(["Zumba", "Zumba", None, "Riding_a_bike"], 3, LABELS)
    second = Said(["Zumba", "Riding_a_bike", "Zumba", None], 3, LABELS)
    found = agreement(first, second)
    assert (found.videos, found.same, found.share, found.remark) == (2, 1, 0.5, "")


def test_names_are_compared_without_case_underscores_and_hyphens():
    first = Said(["Riding_a_bike", "juggling-balls"], 3, LABELS)
    second = Said(["riding a  bike", "Juggling Balls"], 3, ["riding a  bike", "Juggling Balls", "zumba"])
    found = agreement(first, second)
    assert (found.share, found.shared, found.remark) == (1.0, 3, "")


def test_overlapping_classes_are_compared_with_a_remark():
    found = agreement(Said(["Zumba"], 3, LABELS), Said(["zumba"], 2, ["zumba", "sleeping"]))
    assert found.share == 1.0
    assert found.remark == "1 class in common, 2 in the first only, 1 in the second only"


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (Said(["Zumba"], 3, LABELS), Said(["left"], 1, ["left"]), "not comparable: the two models share no class name"),
        (
            Said(["Zumba"], 3, LABELS),
            Said(["class 2"], 3),
            "not comparable: the classes of the second model have no names",
        ),
        (Said(["class 2"], 4), Said(["class 2"], 3), "not comparable: the classes of the first and the second model"),
    ],
)
def test_models_that_cannot_be_compared_have_a_reason_but_no_share(first, second, sentence):
    found = agreement(first, second)
    assert found.share is None
    assert found.remark.startswith(sentence)


def test_nameless_classes_are_compared_by_number_and_without_answers_there_is_no_share():
    found = agreement(Said(["class 2"], 3), Said(["class 2"], 3))
    assert (found.share, found.remark) == (1.0, "classes without names are compared by their numbers")
    unanswered = agreement(Said([None], 3, LABELS), Said(["Zumba"], 3, LABELS))
    assert (unanswered.share, unanswered.remark) == (None, "not comparable: no video was answered by both models")


def test_an_empty_list_of_names_counts_as_no_names():
    assert "the second model have no names" in agreement(Said(["Zumba"], 3, LABELS), Said(["class 2"], 3, ())).remark
