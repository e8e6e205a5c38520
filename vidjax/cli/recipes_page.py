"""docs/recipes.md, made from the configurations and `vidjax.config.official` by `vidjax configs --markdown`."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from vidjax.config import Config, get_key
from vidjax.config.official import RECIPES, Recipe, Row, Source
from vidjax.data.sources.annotations import NOTHING, TARGET
from vidjax.tasks import TASKS

_HEAD = """# Recipes

Made by `vidjax configs --markdown`; do not edit. Every published recipe, line by line: what its authors set and where,
which key of ours holds it, and whether it is equal. A test fails when a configuration no longer holds the authors'
value, and when a reason is given for a value that is equal after all (`tests/config/test_official.py`);
`python scripts/check_official.py CLONE...` looks the lines up in clones of the authors' repositories.

Rows that several recipes share are written once: first those of a whole family; then, for each experiment, the others
with the *sizes* of which they are true.

*theirs* is a flag or what their code does; *where* is its file, which the link opens at the commit that the family
names, with lines after the colon; *script* is the file that the experiment's first table names for a size. *ours* is
the key and what it resolves to in the recipe, in our units; or, where there is no key, the code that does it. Left out
is what changes no result: paths, loader workers, checkpointing, logging. The batch is for all devices, so that the
number of GPUs is free. Accuracies are top-1 / top-5 in percent, as published, and not re-run by us.
"""
_HEADINGS = ("theirs", "where", "value", "ours", "same?")
_SCRIPT = "script"
_LABELS = "training with labels"
_KINDS = {NOTHING: "pre-training", TARGET: "regression"}  # by what rows carry
_Recipes = Sequence[Recipe]
_Cells = Sequence[tuple[str, ...]]
_Names = Collection[str]  # of experiments


def page() -> str:
    """The whole page."""
    parts, links = [_HEAD, *_differences()], _Links()
    for _, recipes in itertools.groupby(sorted(RECIPES, key=_family), _family):
        parts += _sections(list(recipes), links)
    return "\n".join([*parts, *links.definitions]) + "\n"


def _differences() -> list[str]:
    """Every key that does not hold its authors' value, or is missing, with the experiments of which that is so."""
    found: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    for recipe in RECIPES:
        for row in recipe.rows:
            if row.reason and (row.key or row.reason.startswith("no key")):
                found[row.key or row.name, row.reason].add(_name(recipe))
    rows = [(_code(key), ", ".join(sorted(names)), reason) for (key, reason), names in sorted(found.items())]
    total = sum(len(recipe.rows) for recipe in RECIPES)
    equal = sum(not row.reason for recipe in RECIPES for row in recipe.rows)
    counted = (
        f"{len(RECIPES)} recipes have {total} rows, of which {equal} are equal. Of the others these have an effect:\n"
    )
    return ["## What differs\n", counted, _markdown(("what", "of", "why"), rows)]


def resolved(config: Config, key: str) -> Any:
    """What a key of a configuration holds; "model.spec.FIELD" is the preset's where the configuration is silent."""
    from vidjax.models import preset

    field = key.removeprefix("model.spec.")
    if field == key:
        return get_key(config, key)
    return config.model.spec.get(field, getattr(preset(config.model.name), field, None))


def read(recipe: Recipe) -> Config:
    """The configuration of a recipe, as a run reads it."""
    from vidjax.main import read_config

    return read_config([f"--config={recipe.experiment}"])


class _Links:
    """Links to files, each address written once, at the end of the page."""

    def __init__(self):
        self._numbers: dict[str, int] = {}

    def __call__(self, where: str, source: Source) -> str:
        """A link to the file of `file:line`, which shows its name and the lines."""
        file, _, lines = where.partition(":")
        number = self._numbers.setdefault(source.file_url(file), len(self._numbers) + 1)
        return f"[{file.rpartition('/')[2]}{lines and f':{lines}'}][{number}]"

    @property
    def definitions(self) -> list[str]:
        """What the links of the page mean."""
        return [f"[{number}]: {address}" for address, number in self._numbers.items()]


def _family(recipe: Recipe) -> tuple[str, str]:
    """Recipes that share most rows: those of a repository by what they learn from."""
    return recipe.source.title, _KINDS.get(TASKS[read(recipe).task].annotation, _LABELS)


def _name(recipe: Recipe) -> str:
    return recipe.experiment.partition(":")[0]


def _sections(recipes: _Recipes, links: _Links) -> Iterable[str]:
    """A family: what all of its recipes share, and then each experiment."""
    source, experiments = recipes[0].source, list(dict.fromkeys(map(_name, recipes)))
    commit = f"[{source.commit[:7]}]({source.repository}/tree/{source.commit})"
    yield f"## {source.title}, {_family(recipes[0])[1]}\n"
    yield f"Against {source.repository} at {commit}.\n"
    cells = {recipe.experiment: _cells(recipe) for recipe in recipes}
    shared = set.intersection(*map(set, cells.values())) if len(experiments) > 1 else set()
    if shared:
        yield f"All of {', '.join(map(_code, experiments))}:\n"
        rows = [row for row in cells[recipes[0].experiment] if row in shared]
        yield _markdown(_HEADINGS, [(name, links(where, source), *others) for name, where, *others in rows])
    for experiment in experiments:
        own = [recipe for recipe in recipes if _name(recipe) == experiment]
        rest = {each.experiment: [row for row in cells[each.experiment] if row not in shared] for each in own}
        yield from _section(own, rest, links)


def _section(recipes: _Recipes, cells: Mapping[str, _Cells], links: _Links) -> Iterable[str]:
    """An experiment: its sizes, and the rows that it does not share with its family."""
    name, source, scripts = _name(recipes[0]), recipes[0].source, _scripts(cells)
    yield f"### {name}\n"
    found = [(_code(each.experiment), each.published, links(scripts[each.experiment], source)) for each in recipes]
    yield _markdown((f"`configs/{name}.py`", "published", _SCRIPT), found)
    rows = []
    for (row, *others), told in _merged(cells).items():
        places: dict[str, list[str]] = {}
        for experiment, where in told.items():
            file, _, lines = where.partition(":")
            place = f"{_SCRIPT}:{lines}" if file == scripts[experiment] else links(where, source)
            places.setdefault(place, []).append(experiment)
        rows.append((row, _sizes(told, cells), _wheres(places, cells), *others))
    yield _markdown((_HEADINGS[0], "sizes", *_HEADINGS[1:]), rows)


def _wheres(places: Mapping[str, _Names], experiments: _Names) -> str:
    """The place that a row has for most sizes, and then each other one with its sizes."""
    usual, *others = sorted(places, key=lambda place: -len(places[place]))
    return "; ".join([usual, *(f"{_sizes(places[place], experiments)}: {place}" for place in others)])


def _cells(recipe: Recipe) -> _Cells:
    """The cells of each row, in which `where` is not yet a link."""
    config, found = read(recipe), []
    for row in recipe.rows:
        name = _code(row.name) if row.name.startswith("-") else row.name
        found.append((name, row.where, row.official, _ours(row, config), row.reason or "equal"))
    return found


def _scripts(cells: Mapping[str, _Cells]) -> dict[str, str]:
    """The file that most rows of each recipe cite; if possible, one that not every size cites."""
    files = {
        name: collections.Counter(where.partition(":")[0] for _, where, *_ in rows) for name, rows in cells.items()
    }
    common = set.intersection(*map(set, files.values()))
    return {name: max(cited, key=lambda file: (file not in common, cited[file])) for name, cited in files.items()}


def _merged(cells: Mapping[str, _Cells]) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows without their places, grouped by name, each with its place in every recipe that has it."""
    found: dict[str, dict[tuple[str, ...], dict[str, str]]] = {}
    for experiment, rows in cells.items():
        for name, where, *others in rows:
            found.setdefault(name, {}).setdefault((name, *others), {})[experiment] = where
    return {row: told for rows in found.values() for row, told in rows.items()}


def _sizes(meant: _Names, experiments: _Names) -> str:
    """Which of a section's recipes are meant, in few words."""
    sizes = [(experiment in meant, experiment.partition(":")[2]) for experiment in experiments]
    named, others = ([size for inside, size in sizes if inside == wanted] for wanted in (True, False))
    if not others:
        return "all"
    return f"all but {', '.join(others)}" if len(others) < len(named) else ", ".join(named)


def _ours(row: Row, config: Config) -> str:
    if not row.key:
        return _code(row.place) if row.place else "-"
    value = resolved(config, row.key)
    return _code(f"{row.key}={value!r}" if value == "" else f"{row.key}={value}")


def _code(text: str) -> str:
    return f"`{text}`"


def _markdown(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, ("---",) * len(headings), *rows)) + "\n"
