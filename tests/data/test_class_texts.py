"""Classes in words: what is refused, and the words for the classes of a data set."""

import json

import pytest

from vidjax.data.class_texts import check_classes, check_templates, prompts, read_lines, readable, texts_of_classes
from vidjax.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "no classes are given; name at least two"),
        (["cooking"], "'cooking' is the only class; name at least two$"),
        (["cooking", " ", "a"], "class 2 of 3 is empty"),
        (["cooking", "diving", "cooking "], "'cooking' is both class 1 and class 3"),
        ("cooking", "classes='cooking' is one text; give a list"),
    ],
)
def test_classes_without_a_choice_are_refused(classes, message):
    with pytest.raises(ConfigError, match=message):
        check_classes(classes)


@pytest.mark.parametrize(
    ("templates", "message"),
    [([], "no prompt templates"), (["{} or {}"], "has 2 places"), (["a"], "has 0 places"), ("a {}", "is one text")],
)
def test_a_template_has_one_place_for_the_class(templates, message):
    with pytest.raises(ConfigError, match=message):
        check_templates(templates)


def test_a_file_has_one_class_per_line_and_an_empty_line_is_refused(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("\ufeffriding a bike\ncooking\n", encoding="utf-8")
    assert check_classes(read_lines([str(path)])) == ("riding a bike", "cooking")
    path.write_text("riding a bike\n\ncooking\n")
    with pytest.raises(ConfigError, match="class 2 of 3 is empty"):
        check_classes(read_lines([str(path)]))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_lines([str(path)])
    assert read_lines(["riding a bike", "cooking"]) == ["riding a bike", "cooking"]


def test_prompts_keep_braces_and_percents_of_a_class():
    assert prompts(["{50%}", "b"], ["a {}.", "{}"]) == ["a {50%}.", "{50%}", "a b.", "b"]


def test_class_names_become_words():
    names = ["riding_bike", "ApplyEyeMakeup", "Pushing something", "TV show", "yoga"]
    assert list(map(readable, names)) == ["riding bike", "Apply Eye Makeup", "Pushing something", "TV show", "yoga"]


def test_words_for_the_classes_of_a_data_set(tmp_path):
    lines, changes = tmp_path / "words.txt", tmp_path / "words.json"
    lines.write_text("on a bike\nat a stove\n")
    changes.write_text(json.dumps({"bike": "on a bike"}))
    labels = ("bike", "make_food")
    assert texts_of_classes(labels, "", 2) == ("bike", "make food")
    assert texts_of_classes(None, str(lines), 2) == ("on a bike", "at a stove")
    assert texts_of_classes(labels, str(changes), 2) == ("on a bike", "make food")
    changes.write_text(json.dumps({"0": "on a bike", "1": "at a stove"}))
    assert texts_of_classes(None, str(changes), 2) == ("on a bike", "at a stove")


@pytest.mark.parametrize(
    ("labels", "content", "message"),
    [
        (None, None, r"class 0 of the data has a number instead of a name \(2 of 2 classes do\)"),
        (("bike", "17"), None, r"class 17 of the data has a number instead of a name \(1 of 2"),
        (("bike", "food"), "one\n", "has 1 lines, but the data has 2 classes"),
        (
            ("bike", "food"),
            {"bik": "on a bike"},
            "names 'bik', which is not a class of the data; the first class is 'bike'",
        ),
        (("bike", "food"), ["bike"], "is not a JSON object"),
        (("bike", "food"), {"bike": "food"}, "'food' is both class 1 and class 2"),
    ],
)
def test_classes_without_words_are_refused(labels, content, message, tmp_path):
    path = ""
    if content is not None:
        path = str(tmp_path / ("words.txt" if isinstance(content, str) else "words.json"))
        (tmp_path / path).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        texts_of_classes(labels, path, 2)
    with pytest.raises(ConfigError, match="is not a file"):
        texts_of_classes(labels, str(tmp_path / "absent.json"), 2)
