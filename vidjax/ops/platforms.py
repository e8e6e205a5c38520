"""Implementations by platform, chosen when a program is lowered; and programs restricted to some platforms' kernels.

An exported program runs on machines that are not known yet. It can contain plain JAX for any of them, but a Pallas
kernel only for the platform that the kernel is written for, and a cuDNN call only if the exporting machine has cuDNN.
"""

import contextlib
import contextvars
from collections.abc import Callable, Generator
from typing import Any

import jax

_ALLOWED: contextvars.ContextVar[tuple[str, ...] | None] = contextvars.ContextVar("allowed", default=None)


def dispatch(*operands: Any, default: Callable, **own: Callable) -> Any:
    """`jax.lax.platform_dependent`, limited to the platforms that `restricted_to` allows.

    Args:
      default: function for platforms without one of their own.
      own: functions by platform.
    """
    allowed = _ALLOWED.get()
    if allowed is not None:
        own = {platform: function for platform, function in own.items() if platform in allowed}
    return jax.lax.platform_dependent(*operands, default=default, **own) if own else default(*operands)


def restricted() -> bool:
    """Whether the program being traced is to run on other machines."""
    return _ALLOWED.get() is not None


@contextlib.contextmanager
def restricted_to(*allowed: str) -> Generator[None]:
    """Trace with platform-specific functions for only these platforms, and with defaults for all others.

    Use it around the tracing of a new function: what `jax.jit` has traced before does not change.
    """
    token = _ALLOWED.set(allowed)
    try:
        yield
    finally:
        _ALLOWED.reset(token)
