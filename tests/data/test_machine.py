"""The default number of loader processes."""

import pytest

from vidjax.config import DataConfig
from vidjax.data import loader, machine


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [(2, 24, 0), (4, 24, 0), (8, 24, 6), (112, 200, 64), (16, 5, 5), (16, 0.1, 1), (16, None, 14)],
)
def test_workers_follow_the_cores_as_far_as_memory_goes(monkeypatch, cores, memory, workers):
    monkeypatch.setattr(loader, "usable_cores", lambda: cores)
    monkeypatch.setattr(loader, "free_host_memory", lambda: memory and int(memory * 1e9))
    assert loader.num_workers(DataConfig()) == workers
    assert loader.num_workers(DataConfig(workers=3)) == 3


def test_memory_and_cores_are_those_of_this_process():
    assert 1 <= machine.usable_cores() <= 4096
    free = machine.free_host_memory()
    assert free is None or 10**7 < free < 10**14
