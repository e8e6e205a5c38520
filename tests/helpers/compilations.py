"""Record which functions JAX compiles while a block runs."""

import contextlib

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"
_names: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, fun_name="", **__: _names.append(fun_name) if event == _EVENT else None
)


@contextlib.contextmanager
def compilations():
    """Yield a list to which each compiled function is added, as `jit(NAME)`."""
    before, found = len(_names), []
    try:
        yield found
    finally:
        found += _names[before:]
