"""Measure vidjax and other software on the same work in one run: `vidjax bench`.

Contenders take turns in rounds, and the fastest round of each counts, because slower rounds also measure what else the
machine was doing. Only loader, predict and embed need the data libraries.
"""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.bench", {})
