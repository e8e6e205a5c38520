"""Pictures and reports of runs; Matplotlib without a display, Pillow for animations."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.viz", {})
