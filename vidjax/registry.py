"""Find specs by name, in the modules of a package or in a user's own module.

Each data set, task, model family and verb has a spec, an instance of a frozen dataclass, in its own module. A
`Registry` lists the modules of such a package without importing them, and imports a module when its spec is requested,
so that `--help` stays fast.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from typing import TypeVar

from vidjax.errors import ConfigError

T = TypeVar("T")


@functools.cache
def names_in(package: str) -> tuple[str, ...]:
    """List the public modules of a package, in alphabetical order, without importing them.

    Names that start with an underscore belong to helpers and are left out.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(f"{package} is not a package", name=package)
    names = (module.name for module in pkgutil.iter_modules(found.submodule_search_locations))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def is_outside(name: str) -> bool:
    """Whether a name has the form `module:ATTR`, which refers to a module outside vidjax."""
    return ":" in name


class Registry(Mapping[str, T]):
    """The specs that the modules of a package define, by module name; each module is imported on first use.

    Attributes:
      package: the package whose public modules define the specs.
      attribute: the attribute that each of these modules defines.
      kind: class of the specs.
      what: what one spec describes, with its article, for messages: "a data set".
      listed_in: the package whose modules give the names, if not all modules of `package` define a spec.
    """

    def __init__(self, package: str, attribute: str, kind: type[T], what: str, listed_in: str = ""):
        self.package = package
        self.attribute = attribute
        self.kind = kind
        self.what = what
        self.listed_in = listed_in or package

    def find(self, name: str) -> T:
        """Return the spec of a name in the registry, or of `module:ATTR` in an importable module outside vidjax.

        Raises:
          ConfigError: when there is no such name, the module cannot be imported, or ATTR has another type.
        """
        return self._outside(name) if is_outside(name) else self[name]

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise UnknownNameError(self._unknown(name))
        return self._typed(importlib.import_module(f"{self.package}.{name}"), self.attribute)

    def __contains__(self, name: object) -> bool:
        return name in names_in(self.listed_in)

    def __iter__(self) -> Iterator[str]:
        return iter(names_in(self.listed_in))

    def __len__(self) -> int:
        return len(names_in(self.listed_in))

    def __repr__(self) -> str:
        return f"Registry({self.package}: {', '.join(self)})"

    def _outside(self, name: str) -> T:
        module, _, attribute = name.partition(":")
        if not module or not attribute:
            raise ConfigError(f"{name!r} names no {self._noun}; write module:ATTR, for example my_module:MINE")
        try:
            return self._typed(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # the module exists, but something that it imports does not
            raise ConfigError(
                f"there is no module {error.name!r}, which {name!r} names; install it, or add its folder to PYTHONPATH"
            ) from None

    def _typed(self, module, attribute: str) -> T:
        if not hasattr(module, attribute):
            own = [name for name, value in vars(module).items() if isinstance(value, self.kind)]
            hint = f"; it has {', '.join(own)}" if own else f"; define {attribute} = {self.kind.__name__}(...) there"
            raise ConfigError(f"module {module.__name__!r} has no {attribute!r}{hint}")
        value = getattr(module, attribute)
        if not isinstance(value, self.kind):
            raise ConfigError(
                f"{module.__name__}:{attribute} has type {type(value).__name__}, not {self.what}; "
                f"make it a {self.kind.__module__}.{self.kind.__name__}"
            )
        return value

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(str(name), self, n=1)
        mean = f"did you mean {near[0]!r}? " if near else ""
        return f"{name!r} is not {self.what}; {mean}there are {', '.join(self)}, or module:ATTR of a module of your own"

    @property
    def _noun(self) -> str:
        return self.what.partition(" ")[2]


class UnknownNameError(ConfigError, KeyError):
    """A name that a registry does not have; also a `KeyError`, as `Mapping` requires."""

    __str__ = ConfigError.__str__
