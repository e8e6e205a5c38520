"""What a key of the configuration may hold, stated in its type: choices, ranges, and whether a resumed run may differ.

A choice is a `Literal`, or names what lies elsewhere: the keys of a table, or the modules of a package. Neither is
imported to list its names, so that a misspelt value is refused, and `--help` printed, without delay.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from vidjax.registry import is_outside, names_in

_ROOT = Path(__file__).parents[1]
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class AtLeast:
    """A number with a lower limit."""

    limit: float

    def complaint(self, value: float) -> str:
        """What is wrong with a value; empty when nothing is."""
        return "" if value >= self.limit else f"must be at least {self.limit}"


@dataclasses.dataclass(frozen=True)
class Between:
    """A number in a closed interval."""

    low: float
    high: float

    def complaint(self, value: float) -> str:
        """What is wrong with a value; empty when nothing is."""
        return "" if self.low <= value <= self.high else f"must lie between {self.low} and {self.high}"


@dataclasses.dataclass(frozen=True)
class Inside:
    """A number in an open interval."""

    low: float
    high: float

    def complaint(self, value: float) -> str:
        """What is wrong with a value; empty when nothing is."""
        return "" if self.low < value < self.high else f"must lie between {self.low} and {self.high}, and be neither"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A key of a table, or with `empty` the empty string.

    Attributes:
      table: `module:NAME`, a dict literal at the top level of a module of vidjax.
      also: further choices.
    """

    table: str
    empty: bool = False
    also: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """What may be chosen."""
        return ("",) * self.empty + keys_of(self.table) + self.also


@dataclasses.dataclass(frozen=True)
class Registered:
    """The name of a module of a package whose modules each define one spec, or `module:ATTR` of a user's own module."""

    package: str

    def names(self) -> tuple[str, ...]:
        """What may be chosen, beside `module:ATTR`."""
        return names_in(self.package)


@dataclasses.dataclass(frozen=True)
class Changeable:
    """A key, or a section, that may differ when a run is resumed; without this mark a difference is refused.

    Attributes:
      effect: what the user should know of the change; empty when it says itself.
    """

    effect: str = ""


@dataclasses.dataclass(frozen=True)
class Auto:
    """A key that may be left to vidjax, which chooses by the data and the machine (`vidjax.training.choices`).

    Attributes:
      value: that the key holds until the choice is made.
    """

    value: Any


Count = Annotated[int, AtLeast(1)]
Fraction = Annotated[float, Between(0, 1)]
Part = Annotated[float, Inside(0, 1)]
NotNegative = Annotated[T, AtLeast(0)]
MayChange = Annotated[T, Changeable()]


@functools.cache
def keys_of(table: str) -> tuple[str, ...]:
    """The keys of a dict literal, read from the source of its module, which is not imported.

    Args:
      table: `module:NAME`, for example "vidjax.training.optim.optimizer:OPTIMIZERS".
    """
    module, _, name = table.partition(":")
    path = _ROOT.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return tuple(ast.literal_eval(key) for key in node.value.keys if key)
    raise LookupError(f"{path} has no dict literal {name}")


def plain(hint: Any) -> Any:
    """A type without its marks."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def marks(hint: Any) -> tuple[Any, ...]:
    """The marks of a type: `AtLeast`, `Changeable` and so on."""
    return typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()


def names_for(hint: Any) -> tuple[str, ...]:
    """What may be chosen for a value, or an item of a tuple, of this type; empty when anything may be."""
    kind = plain(hint)
    if typing.get_origin(kind) is tuple:
        return names_for(typing.get_args(kind)[0])
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return next((mark.names() for mark in marks(hint) if isinstance(mark, OneOf | Registered)), ())


def takes_outside(hint: Any, value: object) -> bool:
    """Whether a value has the form `module:ATTR` and its type takes that."""
    return isinstance(value, str) and is_outside(value) and any(isinstance(mark, Registered) for mark in marks(hint))
