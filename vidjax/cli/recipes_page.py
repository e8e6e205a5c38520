"""docs/recipes.md, made from the configurations and `vidjax.config.official` by `vidjax configs --markdown`."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable
from typing import Any

from vidjax.config import Config, get_key
from vidjax.config.official import RECIPES, Recipe, Row, Source

_HEAD = """# Recipes

Made by `vidjax configs --markdown`; do not edit. Every published recipe, line by line: what its authors set and where,
which key of ours holds it, and whether it is equal. A test fails when a configuration no longer holds the authors'
value, and when a reason is given for a value that is equal after all (`tests/config/test_official.py`);
`python scripts/check_official.py CLONE...` looks the lines up in clones of the authors' repositories.

*theirs* is a flag or what their code does; *where* is its file and line at the commit that the section names, further
lines after commas. *ours* is the key and what it resolves to in the recipe, in our units; or, where there is no
key, the code that does it. Left out is what changes no result: paths, loader workers, checkpointing, logging. The batch
is for all devices, so that the number of GPUs is free. Accuracies are top-1 / top-5 in percent, as published, and not
re-run by us.
"""
_HEADINGS = ("theirs", "where", "value", "ours", "same?")


def page() -> str:
    """The whole page."""
    parts = [_HEAD, *_differences()]
    for _, recipes in itertools.groupby(sorted(RECIPES, key=_place), _place):
        parts += _section(list(recipes))
    return "\n".join(parts).rstrip("\n") + "\n"


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


def _place(recipe: Recipe) -> tuple[str, str]:
    """The section: an experiment, and whose recipes it has."""
    return _name(recipe), recipe.source.title


def _name(recipe: Recipe) -> str:
    return recipe.experiment.partition(":")[0]


def _section(recipes: list[Recipe]) -> list[str]:
    """An experiment's recipes of one repository: what they share, and then each."""
    tables = {recipe.experiment: dict.fromkeys(_lines(recipe)) for recipe in recipes}
    shared = [line for line in next(iter(tables.values())) if all(line in lines for lines in tables.values())]
    name, source = _name(recipes[0]), recipes[0].source
    commit = f"[{source.commit[:7]}]({source.repository}/tree/{source.commit})"
    parts = [f"## {name}, {source.title}\n", f"`configs/{name}.py`, against {source.repository} at {commit}.\n"]
    if len(recipes) > 1:
        parts += ["All sizes:\n", _table(shared, source)]
    for recipe in recipes:
        own = [line for line in tables[recipe.experiment] if len(recipes) == 1 or line not in shared]
        files = collections.Counter(where.partition(":")[0] for _, where, *_ in own)
        script = max(files, key=files.__getitem__)
        parts += [
            f"### {recipe.experiment}\n",
            f"Published: {recipe.published}. Most of it is set in [`{script}`]({source.url(f'{script}:1')}).\n",
            _table(own, source, script),
        ]
    return parts


def _lines(recipe: Recipe) -> Iterable[tuple[str, ...]]:
    """The cells of each row, in which `where` is not yet a link."""
    config = read(recipe)
    for row in recipe.rows:
        name = _code(row.name) if row.name.startswith("-") else row.name
        yield name, row.where, row.official, _ours(row, config), row.reason or "equal"


def _link(where: str, source: Source, script: str) -> str:
    """A link to `file:line`; of the script that the section names, its name alone."""
    short = where.rpartition("/")[2]
    return short if where.partition(":")[0] == script else f"[{short}]({source.url(where)})"


def _ours(row: Row, config: Config) -> str:
    if not row.key:
        return _code(row.place) if row.place else "-"
    value = resolved(config, row.key)
    return _code(f"{row.key}={value!r}" if value == "" else f"{row.key}={value}")


def _code(text: str) -> str:
    return f"`{text}`"


def _table(lines: Iterable[tuple[str, ...]], source: Source, script: str = "") -> str:
    return _markdown(_HEADINGS, [(name, _link(where, source, script), *others) for name, where, *others in lines])


def _markdown(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, ("---",) * len(headings), *rows)) + "\n"
