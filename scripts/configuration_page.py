"""Write docs/configuration.md: every key of a run, from the types and comments in vidjax/config.

    python scripts/configuration_page.py [--docs docs]

The meaning of a key is the comment on its field.
"""

import argparse
import ast
import dataclasses
import inspect
import io
import sys
import tokenize
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vidjax.config import Config, choices, hints_of, named_section
from vidjax.config.types import AtLeast, Auto, Between, Changeable, Inside, Registered, marks, plain
from vidjax.files import write_whole

_HEAD = """# Configuration

Made by `python scripts/configuration_page.py` from `vidjax/config/schema.py` and `sections/`; do not edit.

An experiment file starts from these defaults and changes some of them. Set any key for one run on the command line,
with quotes around a tuple:

```bash
python -m vidjax.main --config=motion_finetune:smoke --workdir=RUN --config.optim.base_lr=1e-3 \\
    --config.data.mean="(.5,.5,.5)"
```

vidjax refuses an unknown key, a value of another type and a value outside its range before anything is loaded. A run
keeps all of its keys in `config.json`.

- **Default** is the default of the schema. Experiments have their own, which `vidjax configs NAME` prints.
- *Chosen* marks a value that leaves the choice to vidjax, which considers the data, the model and the machine. The run
  prints each choice. Other automatic values are explained under *meaning*.
- **Resume**: "yes" marks keys that may differ when a run is resumed. A difference in any other key is refused, except
  in some fields of `model.spec`.
- In Python, each table is a dataclass of `vidjax.config`.
"""
_ROW = "| key | type and range | default | meaning | resume |"
_KINDS = {int: "integer", float: "number", bool: "True or False", str: "text", dict: "keys and values"}


def comments(section: type) -> dict[str, str]:
    """Return the comment on each field of a dataclass, from the field's own lines and those right above it."""
    source = inspect.getsource(section)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    said = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body[0].body:
        if not isinstance(node, ast.AnnAssign):
            continue
        first = node.lineno
        while lines[first - 2].lstrip().startswith("#"):
            first -= 1
        found[node.target.id] = " ".join(said[line] for line in range(first, node.end_lineno + 1) if line in said)
    return found


def kind_of(hint: Any) -> str:
    """Describe a type in words."""
    kind = plain(hint)
    if named_section(hint):
        return "sections, each under a name"
    if typing.get_origin(kind) is not tuple:
        return _KINDS[kind]
    item = typing.get_args(kind)[0]
    if typing.get_origin(plain(item)) is tuple:
        return f"tuples of {kind_of(item)}"
    return "texts" if plain(item) is str else f"{kind_of(item)}s"


def range_of(key: str, hint: Any) -> str:
    """Describe the values that a key allows: its choices, or its type and limits."""
    names = choices(key)
    if names:
        several = "any of " if typing.get_origin(plain(hint)) is tuple else ""
        outside = ", or `module:ATTR`" if any(isinstance(mark, Registered) for mark in marks(hint)) else ""
        return several + ", ".join(f"`{name}`" if name else "empty" for name in names) + outside
    for mark in marks(hint):
        if isinstance(mark, AtLeast):
            return f"{kind_of(hint)}, at least {mark.limit}"
        if isinstance(mark, Between):
            return f"{kind_of(hint)}, {mark.low} to {mark.high}"
        if isinstance(mark, Inside):
            return f"{kind_of(hint)}, above {mark.low} and below {mark.high}"
    return kind_of(hint)


def default_of(field: dataclasses.Field, hint: Any) -> str:
    """Describe the default of a field, and the value that leaves the choice to vidjax."""
    value = field.default if field.default is not dataclasses.MISSING else field.default_factory()
    autos = [mark.value for mark in marks(hint) if isinstance(mark, Auto)]
    if not autos:
        return _shown(value)
    return f"{_shown(value)}, *chosen*" if autos[0] == value else f"{_shown(value)}; {_shown(autos[0])}: *chosen*"


def _shown(value: Any) -> str:
    return "empty" if value in ("", (), {}) else f"`{value}`"


def meaning_of(said: str, effect: str) -> str:
    """Turn a comment, and the effect of changing the key on resume, into sentences for a table cell."""
    text = said if said.endswith(".") or not said else f"{said}."
    first, colon, _ = text.partition(":")
    named = colon and first.isidentifier() and first.islower()  # a choice, whose spelling is kept
    text = (text if named else text[:1].upper() + text[1:]) + f" When it changes on resume, {effect}." * bool(effect)
    return text.replace("|", "\\|").replace("<", "&lt;")


def table(section: type, prefix: str, mark: Any) -> list[str]:
    """Return the rows of a section, without those of nested sections.

    Args:
      mark: the section's own type in the configuration, whose marks the keys inherit; None if it has none.
    """
    hints, said, rows = hints_of(section), comments(section), []
    for field in dataclasses.fields(section):
        hint, key = hints[field.name], prefix + field.name
        if dataclasses.is_dataclass(plain(hint)):
            continue
        changes = [each for each in (*marks(hint), *marks(mark)) if isinstance(each, Changeable)]
        meaning = meaning_of(said[field.name], changes[0].effect if changes else "")
        cells = (f"`{key}`", range_of(key, hint), default_of(field, hint), meaning, "yes" if changes else "")
        rows.append(f"| {' | '.join(cells)} |")
    return [_ROW, "|---" * _ROW.count(" | ") + "|---|", *rows]


def page() -> str:
    """Return the whole page."""
    lines = [_HEAD, "## The run", "", *table(Config, "", None)]
    for name, hint in sections(Config):
        section = plain(hint)
        about = inspect.cleandoc(section.__doc__ or "")
        lines += ["", f"## {name}", "", f"`{section.__name__}`. {about}", "", *table(section, f"{name}.", hint)]
    return "\n".join(lines) + "\n"


def sections(section: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted names and types of the sections within a section, at any depth."""
    for name, hint in hints_of(section).items():
        if dataclasses.is_dataclass(plain(hint)):
            yield prefix + name, hint
            yield from sections(plain(hint), f"{prefix}{name}.")
        elif section := named_section(hint):
            yield f"{prefix}{name}.NAME", section


def main(argv: list[str]) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", default=Path("docs"), type=Path, help="folder of the page")
    arguments = parser.parse_args(argv)
    write_whole(arguments.docs / "configuration.md", page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
