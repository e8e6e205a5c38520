"""Pictures and reports of runs, drawn with Matplotlib without a display, and with Pillow for animations."""

from vidjax._lazy import attach

__getattr__, __dir__ = attach("vidjax.viz", {})
