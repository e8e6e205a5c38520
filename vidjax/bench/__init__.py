"""Measure vidjax and other software for the same work in one run: `vidjax bench`.

Rounds of all contenders take turns, and the fastest round of each counts: slower ones measure what else the machine
was doing. Steps, scan and attention need jax, flax, optax and numpy, but none of the data libraries.
"""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.bench", {})
