"""A checkpoint that cannot be written is told once, by the error that a save raises, and not by tracebacks before it.

When a write fails, orbax 0.12.8 closes the event loop in which others of the same save are under way
(`_run_sync_via_new_loop`, checkpoint/_src/asyncio_utils.py:88). Each of these then finds its loop closed, and a thread
of TensorStore prints a traceback of that (python/tensorstore/future.cc:518 of its commit bc4fbc1). Here a loop stays
open until what was begun in it has ended.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from orbax.checkpoint._src import asyncio_utils  # what runs every save has no public name

_PATIENCE = 20.0  # seconds for the other writes of a save that has failed


@functools.cache
def tell_failures_once() -> None:
    """From now on, keep what else is said of a failed save off the screen of this process."""
    asyncio_utils.run_sync = _to_the_end(asyncio_utils.run_sync)  # ty: ignore[invalid-assignment]
    for logger in ("absl", "asyncio"):
        logging.getLogger(logger).addFilter(_is_news)


def _to_the_end(run_sync: Callable) -> Callable:
    """orbax's function, but that a coroutine that fails lets the other tasks of its loop end first."""

    async def ended(coroutine: Coroutine) -> Any:
        try:
            return await coroutine
        except BaseException:
            if others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others, timeout=_PATIENCE)
            raise

    return lambda coroutine: run_sync(ended(coroutine))


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of a log is none of orbax with the traceback of a save that has failed."""
    by_orbax = "orbax" in record.pathname or (record.name == "asyncio" and "orbax" in record.getMessage())
    return not (record.exc_info and by_orbax)
