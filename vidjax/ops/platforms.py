"""Choose implementations by platform when a program is lowered, or restrict a program to some platforms' kernels.

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
    """Call `jax.lax.platform_dependent` with functions for the platforms that `restricted_to` allows.

    Under a mesh of TPUs and without restriction, only the function for TPUs is traced. If several were traced, a
    gradient would keep the residuals of all of them until one platform is lowered, and memory estimates would count
    them all.

    Args:
      default: function for all other platforms.
      own: functions by platform.
    """
    allowed = _ALLOWED.get()
    if allowed is not None:
        own = {platform: function for platform, function in own.items() if platform in allowed}
    device = jax.sharding.get_abstract_mesh().abstract_device
    if allowed is None and device is not None and device.device_kind.startswith("TPU"):
        return own.get("tpu", default)(*operands)
    return jax.lax.platform_dependent(*operands, default=default, **own) if own else default(*operands)


def restricted() -> bool:
    """Return whether the program being traced is for other machines, that is, whether `restricted_to` is active."""
    return _ALLOWED.get() is not None


@contextlib.contextmanager
def restricted_to(*allowed: str) -> Generator[None]:
    """Trace with platform-specific functions for only these platforms, and with defaults for all others.

    Use it around the first trace of a function; programs that `jax.jit` has already traced do not change.
    """
    token = _ALLOWED.set(allowed)
    try:
        yield
    finally:
        _ALLOWED.reset(token)
