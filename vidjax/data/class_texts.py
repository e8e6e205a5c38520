"""Texts for classes that a model knows only by their words: lists of classes, prompt templates and maps of names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidjax.config import Config
from vidjax.errors import ConfigError, DataError
from vidjax.files import read_json

TEMPLATES = Config().zero_shot.templates
_SLOT = "{}"
_LONGEST = 40


def read_lines(given: Sequence[str]) -> list[str]:
    """Return the given texts or, if the only one is the path of a text file, the lines of that file.

    Raises:
      DataError: if the file is not text.
    """
    if len(given) != 1 or not Path(given[0]).expanduser().is_file():
        return list(given)
    path = Path(given[0]).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; it should have one line per class or template") from error


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes without surrounding spaces.

    Raises:
      ConfigError: if there are fewer than two, or one is empty or given twice.
    """
    if isinstance(classes, str):
        raise ConfigError(f"classes={classes!r} is one text; give a list of at least two classes")
    found = tuple(text.strip() for text in classes)
    if not found:
        raise ConfigError("no classes are given; name at least two, such as 'riding a bike' and 'cooking'")
    if "" in found:
        raise ConfigError(f"class {found.index('') + 1} of {len(found)} is empty; remove it, or give it words")
    if len(found) == 1:
        raise ConfigError(f"{_short(found[0])} is the only class; name at least two")
    for number, text in enumerate(found):
        if (first := found.index(text)) < number:
            raise ConfigError(f"{_short(text)} is both class {first + 1} and class {number + 1}; name each class once")
    return found


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Return the prompt templates.

    Raises:
      ConfigError: if there are none, or one does not have exactly one place for the class.
    """
    if isinstance(templates, str):
        raise ConfigError(f"templates={templates!r} is one text; give a list of templates")
    if not templates:
        raise ConfigError(f"no prompt templates are given; give at least one, such as {TEMPLATES[0]!r}")
    for template in templates:
        if (count := template.count(_SLOT)) != 1:
            raise ConfigError(
                f"the template {_short(template)} has {count} places for the class; write {_SLOT} exactly once, as in "
                f"{TEMPLATES[0]!r}"
            )
    return tuple(templates)


def prompts(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Put each class into each template; all templates of the first class come first."""
    return [template.replace(_SLOT, text) for text in classes for template in templates]


def readable(name: str) -> str:
    """Turn a class name of a data set into words: riding_bike and RidingBike become "riding bike" and "Riding Bike"."""
    words = name.replace("_", " ").strip()
    return words if " " in words else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)


def texts_of_classes(labels: Sequence[str] | None, path: str, num_classes: int) -> tuple[str, ...]:
    """Return the words for each class of a data set.

    Args:
      labels: the data set's class names; None if it has none.
      path: a text file with one line per class, in the order of the data set; or a JSON object that gives words for
        some or all class names. If empty, each class name is turned into words.
      num_classes: the number of classes of the data set.

    Raises:
      ConfigError: if a class has only a number for a name, the file does not fit the classes, or words are missing or
        used twice.
      DataError: if the file is not text.
    """
    key = f"config.zero_shot.class_names={path!r}"
    if path and not path.endswith(".json"):
        lines = _lines(path, key)
        if len(lines) != num_classes:
            raise ConfigError(f"{key} has {len(lines)} lines, but the data has {num_classes} classes; give each a line")
        return check_classes(lines)
    names = labels or tuple(map(str, range(num_classes)))
    words = _map(path, key, names) if path else {}
    unnamed = [name for name in names if not words.get(name) and name.strip().isdigit()]
    if unnamed:
        raise ConfigError(
            f"class {unnamed[0]} of the data has a number instead of a name ({len(unnamed)} of {len(names)} classes "
            "do), which no text tower understands; set config.zero_shot.class_names to a file with one line per class"
        )
    return check_classes([words.get(name) or readable(name) for name in names])


def _lines(path: str, key: str) -> list[str]:
    if not Path(path).expanduser().is_file():
        raise ConfigError(f"{key} is not a file; give a text file with one line per class, or a .json file")
    return read_lines([path])


def _map(path: str, key: str, names: Sequence[str]) -> dict[str, str]:
    if not Path(path).expanduser().is_file():
        raise ConfigError(f"{key} is not a file; give a .json file, or a text file with one line per class")
    found: Any = read_json(Path(path).expanduser())
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ConfigError(f'{key} is not a JSON object such as {{"ApplyEyeMakeup": "putting on eye makeup"}}')
    if unknown := sorted(found.keys() - set(names)):
        raise ConfigError(
            f"{key} names {unknown[0]!r}, which is not a class of the data; the first class is {names[0]!r}"
        )
    return found


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
