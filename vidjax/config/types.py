"""Marks for the types of configuration keys: choices, ranges, what is left to vidjax, and what may change on resume.

Choices are a `Literal`, the keys of a table, or the modules of a package. The names in tables and packages are listed
without importing them, so checking a value and printing `--help` are fast.
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
        """The complaint about a value; empty if the value is valid."""
        return "" if value >= self.limit else f"must be at least {self.limit}"


@dataclasses.dataclass(frozen=True)
class Between:
    """A number in a closed interval."""

    low: float
    high: float

    def complaint(self, value: float) -> str:
        """The complaint about a value; empty if the value is valid."""
        return "" if self.low <= value <= self.high else f"must lie between {self.low} and {self.high}"


@dataclasses.dataclass(frozen=True)
class Inside:
    """A number in an open interval."""

    low: float
    high: float

    def complaint(self, value: float) -> str:
        """The complaint about a value; empty if the value is valid."""
        return "" if self.low < value < self.high else f"must lie strictly between {self.low} and {self.high}"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of the keys of a table.

    Attributes:
      table: `module:NAME`, a dict literal at the top level of a module of vidjax.
      empty: whether the empty string is allowed too.
      also: further choices.
    """

    table: str
    empty: bool = False
    also: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The choices."""
        return ("",) * self.empty + keys_of(self.table) + self.also


@dataclasses.dataclass(frozen=True)
class Registered:
    """The name of a module in a package whose modules each define one spec, or `module:ATTR` in a user's own module."""

    package: str

    def names(self) -> tuple[str, ...]:
        """The choices, besides `module:ATTR`."""
        return names_in(self.package)


@dataclasses.dataclass(frozen=True)
class Changeable:
    """A key or section that may change when a run is resumed; without this mark, a change is refused.

    Attributes:
      effect: what the user should know about the change; empty if that is obvious.
    """

    effect: str = ""


@dataclasses.dataclass(frozen=True)
class Auto:
    """A key that may be left to vidjax, which chooses it for the data and the machine (`vidjax.training.choices`).

    Attributes:
      value: the value that leaves the key open.
    """

    value: Any


Count = Annotated[int, AtLeast(1)]
Fraction = Annotated[float, Between(0, 1)]
Part = Annotated[float, Inside(0, 1)]
NotNegative = Annotated[T, AtLeast(0)]
MayChange = Annotated[T, Changeable()]

# Keys whose value 0 or -1 leaves the choice to vidjax; see `vidjax.training.choices`.
OrAuto = Annotated[T, AtLeast(0), Auto(0)]
OrAutoBelow0 = Annotated[T, AtLeast(-1), Auto(-1)]


@functools.cache
def keys_of(table: str) -> tuple[str, ...]:
    """The keys of a dict literal, read from the source of its module without importing it.

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
    """The choices for a value of this type, or for the items of a tuple; empty if any value is allowed."""
    kind = plain(hint)
    if typing.get_origin(kind) is tuple:
        return names_for(typing.get_args(kind)[0])
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return next((mark.names() for mark in marks(hint) if isinstance(mark, OneOf | Registered)), ())


def takes_outside(hint: Any, value: object) -> bool:
    """Whether a value has the form `module:ATTR` and its type accepts that."""
    return isinstance(value, str) and is_outside(value) and any(isinstance(mark, Registered) for mark in marks(hint))
