"""Report a failed checkpoint only by the error that the save raises, without other tracebacks before it.

When a write fails, orbax 0.12.8 closes the event loop while other writes of the same save are under way
(`_run_sync_via_new_loop`, checkpoint/_src/asyncio_utils.py:88). Each of them then finds its loop closed, and a thread
of TensorStore prints a traceback (python/tensorstore/future.cc:518 of its commit bc4fbc1). Here the event loop stays
open until all of its writes have ended, for at most 20 seconds.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from orbax.checkpoint._src import asyncio_utils  # the function that runs every save has no public name

_PATIENCE = 20.0  # seconds to wait for the other writes of a failed save


@functools.cache
def tell_failures_once() -> None:
    """Keep the tracebacks of a failed save out of this process's output; the save still raises its error."""
    asyncio_utils.run_sync = _to_the_end(asyncio_utils.run_sync)  # ty: ignore[invalid-assignment]
    for logger in ("absl", "asyncio"):
        logging.getLogger(logger).addFilter(_is_news)


def _to_the_end(run_sync: Callable) -> Callable:
    """Wrap orbax's function so that a failing coroutine first lets the other tasks of its loop end."""

    async def ended(coroutine: Coroutine) -> Any:
        try:
            return await coroutine
        except BaseException:
            if others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others, timeout=_PATIENCE)
            raise

    return lambda coroutine: run_sync(ended(coroutine))


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether to log a record; False for orbax's traceback of a failed save."""
    by_orbax = "orbax" in record.pathname or (record.name == "asyncio" and "orbax" in record.getMessage())
    return not (record.exc_info and by_orbax)
