"""The page judges whether two models agree by the names of their classes, as `vidjax compare` does."""

import types

import pytest

from vidjax.demo.verdict import verdict


def model(*labels, classes=0):
    """A classifier with these classes, or with a number of classes without names."""
    return types.SimpleNamespace(model=types.SimpleNamespace(num_classes=len(labels) or classes, labels=labels or None))


def answer(label):
    return {"top": [{"label": label, "probability": 0.5}]}


PLAIN, OTHER = model("riding a bike", "cooking"), model("Cooking", "Riding_a_bike")


@pytest.mark.parametrize(
    ("models", "best", "sentence"),
    [
        ((PLAIN, OTHER), ("cooking", "Cooking"), "Both say cooking."),
        (
            (PLAIN, OTHER),
            ("cooking", "Riding_a_bike"),
            "They disagree: the first says cooking, the second Riding_a_bike.",
        ),
        (
            (PLAIN, model(classes=400)),
            ("cooking", "class 121"),
            "Not comparable: the classes of the second model have no names.",
        ),
        ((model(classes=3), model(classes=3)), ("class 1", "class 1"), "Both say class 1."),
        (
            (PLAIN, model("left", "right")),
            ("cooking", "left"),
            "Not comparable: the two models share no class name.",
        ),
    ],
)
def test_the_verdict_is_that_of_the_verb(models, best, sentence):
    assert verdict(models, tuple(map(answer, best))) == sentence


def test_numbers_are_left_to_the_visitor():
    values = {"values": [{"name": "valence", "value": 0.1}]}
    assert verdict((model("valence"), model("valence")), (values, values)) == "Compare the numbers by eye."
