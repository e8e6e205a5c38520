"""A run compiles in its first step only, and not even then if its programs are cached."""

import contextlib

import jax
import pytest
import toy
from jax.experimental.compilation_cache import compilation_cache

from vidjax.training import loop

COMPILATION = "/jax/core/compile/backend_compile_duration"
HIT, MISS = "/jax/compilation_cache/cache_hits", "/jax/compilation_cache/cache_misses"


@pytest.fixture(scope="module")
def heard():
    """JAX's events about compilations, in order, with the function for each compilation; listeners stay registered."""
    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, fun_name="", **__: events.append(fun_name) if event == COMPILATION else None
    )
    return events


@contextlib.contextmanager
def cache_in(folder):
    """Reset the persistent cache to that of a new process with `train.compile_cache=folder`."""
    before = jax.config.jax_compilation_cache_dir
    jax.clear_caches()
    compilation_cache.reset_cache()
    yield {"train__compile_cache": str(folder)}
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def train(workdir, batches=toy.ToyBatches, **changes):
    config = toy.toy_config(**changes)
    loop.train(config, workdir, source=toy.ToySource(), objective=toy.ToyObjective(), make_batches=batches)


def test_the_step_is_compiled_once_and_nothing_after_the_first_checkpoint(tmp_path, heard):
    """Batches are counted: each is requested while the previous step runs."""
    compiled = []

    class Counting(toy.ToyBatches):
        def __next__(self):
            compiled.append([event for event in heard if event.startswith("jit(")])
            return super().__next__()

    jax.clear_caches()
    heard.clear()
    train(tmp_path, Counting, train__steps=9, train__checkpoint_every=3)
    assert compiled[-1].count("jit(step)") == 1
    assert compiled[3] == compiled[1]  # nothing until the first checkpoint, which compiles slices of the state
    assert compiled[8] == compiled[4]


def test_a_second_start_takes_its_programs_from_the_cache(tmp_path, heard):
    with cache_in(tmp_path / "cache") as setting:
        train(tmp_path / "first", **setting)
        assert any(path.name.startswith("jit_step-") for path in (tmp_path / "cache").iterdir())
    heard.clear()
    with cache_in(tmp_path / "cache") as setting:
        train(tmp_path / "second", **setting)
    assert HIT in heard
    assert MISS not in heard
