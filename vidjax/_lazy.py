"""Lazy imports: packages import their public names on first use, and list them in `dir()`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from vidjax.registry import names_in


def attach(package: str, public: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package.

    Args:
      package: name of the package; its public modules are included too.
      public: the package's other public names, each with the module that defines it.
    """

    def get(name: str) -> Any:
        if name in public:
            return getattr(importlib.import_module(public[name]), name)
        if not name.startswith("_") and name in names_in(package):
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted({*public, *names_in(package)})

    return get, listed
