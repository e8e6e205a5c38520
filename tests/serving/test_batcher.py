"""Clips of several threads share batches, each thread gets its own outputs, and errors reach the waiting callers."""

import threading
import time

import numpy as np
import pytest

from vidjax.serving.batcher import Batcher


class Slow:
    """A computation that blocks until released and records its batch sizes."""

    def __init__(self):
        self.sizes, self.go, self.begun = [], threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, clips):
        self.sizes.append(len(clips))
        self.begun.release()
        self.go.acquire()
        if (clips == 13).any():
            raise ArithmeticError("unlucky")
        return clips.reshape(len(clips), -1)[:, :1] * 2.0


def ask(batcher, numbers):
    """Send each list of numbers as clips from its own thread; returns each thread's outputs or error."""
    found = {}

    def one(place, values):
        try:
            found[place] = batcher(np.array(values, np.uint8)[:, None, None, None, None]).ravel().tolist()
        except ArithmeticError as error:
            found[place] = error

    threads = [threading.Thread(target=one, args=each) for each in enumerate(numbers)]
    for thread in threads:
        thread.start()
    return threads, found


@pytest.fixture
def slow():
    return Slow()


def test_clips_that_arrive_during_a_batch_form_the_next_batch(slow):
    batcher, told = Batcher(slow, 4, lambda clips: told.append(clips)), []
    first, found = ask(batcher, [[1]])
    slow.begun.acquire()
    rest, others = ask(batcher, [[2, 3], [4], [5], [6], [7]])
    while batcher._queue.qsize() < 6:
        pass
    slow.go.release(3)
    for thread in (*first, *rest):
        thread.join(20)
    assert found == {0: [2.0]}
    assert others == {0: [4.0, 6.0], 1: [8.0], 2: [10.0], 3: [12.0], 4: [14.0]}
    assert slow.sizes == [1, 4, 2]
    batcher.close()
    assert told == [1, 4, 2]


def test_batches_are_padded_to_a_power_of_two_and_only_those_are_compiled(slow):
    batcher = Batcher(slow, 8)
    slow.go.release(100)
    batcher.warm((1, 1, 1, 1), lambda: None)
    assert slow.sizes == batcher.sizes == [1, 2, 4, 8]
    assert batcher(np.zeros((3, 1, 1, 1, 1), np.uint8)).shape == (3, 1)
    assert set(slow.sizes) <= {1, 2, 4, 8}
    batcher.close()


def test_an_error_reaches_the_waiting_callers_and_the_next_batch_succeeds(slow):
    batcher = Batcher(slow, 1)
    slow.go.release(100)
    threads, found = ask(batcher, [[13], [1]])
    for thread in threads:
        thread.join(20)
    assert str(found[0]) == "unlucky"
    assert found[1] == [2.0]
    batcher.close()


def test_close_computes_the_waiting_clips(slow):
    batcher = Batcher(slow, 2)
    threads, found = ask(batcher, [[1], [2], [3], [4], [5]])
    while sum(slow.sizes) + batcher._queue.qsize() < 5:
        pass
    slow.go.release(100)
    batcher.close()
    for thread in threads:
        thread.join(20)
    assert sorted(found.values()) == [[2.0], [4.0], [6.0], [8.0], [10.0]]


def test_eight_clients_are_answered_at_over_twice_the_rate_of_one():
    """The device takes as long for eight clips as for one, like an accelerator that one clip does not fill."""

    def device(clips):
        time.sleep(0.1)
        return clips.reshape(len(clips), -1)[:, :1]

    def rate(clients, batcher):
        began = time.monotonic()
        threads = [threading.Thread(target=client, args=(batcher,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return clients * 5 / (time.monotonic() - began)

    def client(batcher):
        for _ in range(5):
            batcher(np.zeros((1, 1, 1, 1, 1), np.uint8))

    batcher = Batcher(device, 8)
    assert rate(8, batcher) > 2 * rate(1, batcher)
    batcher.close()


def test_the_batcher_waits_briefly_for_clients_it_answered_together():
    sizes = []

    def device(clips):
        sizes.append(len(clips))
        time.sleep(0.4)
        return clips.reshape(len(clips), -1)[:, :1]

    batcher = Batcher(device, 8)
    clip = np.zeros((1, 1, 1, 1, 1), np.uint8)
    batcher(np.zeros((4, 1, 1, 1, 1), np.uint8))
    sizes.clear()
    late = threading.Timer(0.03, batcher, (clip,))  # it waits a quarter of 0.4 s
    late.start()
    batcher(clip)
    late.join()
    assert sizes == [2]
    batcher(clip)  # waits for a second clip that never comes
    began = time.monotonic()
    batcher(clip)
    assert time.monotonic() - began < 0.6
    batcher.close()
