"""The next batch is decoded and on the devices while a step runs: neither waits for the other."""

import contextlib
import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import toy

from vidjax.training import loop
from vidjax.training.device_feed import Feed
from vidjax.training.goodput import Goodput
from vidjax.training.mesh import batch_sharding, make_mesh
from vidjax.training.stop_signal import StopSignal
from vidjax.training.throughput import Meter

PATIENCE = 60.0  # seconds after which a step gives up waiting and the test fails


@jax.jit
def seconds_of_work(x):
    return jax.lax.fori_loop(0, 4000, lambda _, x: x @ x, x)


def test_the_feed_brings_a_batch_to_the_devices_while_a_step_is_computed(tmp_path):
    mesh = make_mesh(toy.toy_config().mesh)
    feed = Feed(
        iter([{"video": np.full((16, 8), 7, np.uint8), "valid": np.ones(16, bool)}]),
        batch_sharding(mesh),
        Meter(16, None, Goodput(tmp_path, 0, time.monotonic())),
        StopSignal(),
        lambda words: contextlib.nullcontext(),
    )
    compiled = seconds_of_work.lower(jnp.eye(256)).compile()
    in_flight = compiled(jnp.eye(256))
    batch = jax.block_until_ready(feed.next(in_flight=in_flight))
    assert not in_flight.is_ready()
    np.testing.assert_array_equal(batch["video"], 7)


@dataclasses.dataclass(frozen=True)
class WaitingObjective(toy.ToyObjective):
    """An objective whose step k ends only when batch k + 1 has left the loader."""

    served: list = dataclasses.field(default_factory=list)
    in_time: list = dataclasses.field(default_factory=list)
    last: int = 8

    def after_update(self, params, extra, step):
        def wait(step):
            wanted = min(int(step) + 2, self.last)
            for _ in range(int(PATIENCE * 100)):
                if len(self.served) >= wanted:
                    break
                time.sleep(0.01)
            self.in_time.append(len(self.served) >= wanted)
            return np.int32(0)

        return extra | {
            "updates": extra["updates"] + 1 + jax.pure_callback(wait, jax.ShapeDtypeStruct((), jnp.int32), step)
        }


def test_the_loop_asks_for_the_next_batch_before_a_step_has_ended(tmp_path):
    objective = WaitingObjective()

    class Batches(toy.ToyBatches):
        def __next__(self):
            batch = super().__next__()
            objective.served.append(self._step)
            return batch

    loop.train(toy.toy_config(), tmp_path, source=toy.ToySource(), objective=objective, make_batches=Batches)
    assert objective.in_time == [True] * 8
