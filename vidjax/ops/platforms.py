"""What an op computes with on each platform, settled when a program is lowered; and programs that hold no kernels.

An exported program runs on machines that are not known yet. It can hold plain JAX for any of them, but a Pallas kernel
only for the platform that the kernel is written for, and cuDNN's call only where the exporting machine has it.
"""

import contextlib
import contextvars
from collections.abc import Callable, Generator
from typing import Any

import jax

_ALLOWED: contextvars.ContextVar[tuple[str, ...] | None] = contextvars.ContextVar("allowed", default=None)


def dispatch(*operands: Any, default: Callable, **own: Callable) -> Any:
    """`jax.lax.platform_dependent`, with the platforms alone that `restricted_to` allows.

    Args:
      default: computes on platforms that are not named; own: platform to what computes there.
    """
    allowed = _ALLOWED.get()
    if allowed is not None:
        own = {platform: function for platform, function in own.items() if platform in allowed}
    return jax.lax.platform_dependent(*operands, default=default, **own) if own else default(*operands)


def restricted() -> bool:
    """Whether a program is being traced that is to run on other machines."""
    return _ALLOWED.get() is not None


@contextlib.contextmanager
def restricted_to(*allowed: str) -> Generator[None]:
    """Trace what is computed inside with the own implementations of these platforms, and defaults for all others.

    It must be around the tracing of a new function: what `jax.jit` has traced before stays as it is.
    """
    token = _ALLOWED.set(allowed)
    try:
        yield
    finally:
        _ALLOWED.reset(token)
