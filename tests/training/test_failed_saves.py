"""When one write of a checkpoint fails, the others end before their event loop is closed."""

import asyncio
import time

import pytest
import tensorstore
from orbax.checkpoint._src import asyncio_utils

from vidjax.training.failed_saves import tell_failures_once


@pytest.fixture(autouse=True)
def _once():
    tell_failures_once()


def test_writes_of_a_thread_and_of_tensorstore_end_before_the_save_fails(capfd):
    """TensorStore prints a traceback from its own thread if it must report to a closed loop."""
    promise, future = tensorstore.Promise.new()
    ended = []

    async def of_a_thread():
        await asyncio.to_thread(time.sleep, 0.1)
        promise.set_result(None)
        ended.append("thread")

    async def of_tensorstore():
        await future
        ended.append("tensorstore")

    async def fails():
        raise OSError(28, "No space left on device")

    async def save():
        await asyncio.gather(of_a_thread(), of_tensorstore(), fails())

    with pytest.raises(OSError, match="No space left on device"):
        asyncio_utils.run_sync(save())
    assert ended == ["thread", "tensorstore"]
    assert not capfd.readouterr().err


def test_a_successful_save_returns_its_result():
    async def result():
        return 7

    assert asyncio_utils.run_sync(result()) == 7
