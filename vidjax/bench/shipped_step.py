"""Time one shipped step on one device: `python -m vidjax.bench.shipped_step EXPERIMENT SIZE ROUNDS`.

The module runs in its own process, so that a step that does not fit, or crashes, does not affect the others. It prints
one JSON object: the fields of `Timed`, or `error`. Without arguments, it prints the device, its platform and the
version of jax.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vidjax.bench.race import race
from vidjax.bench.settings import NUM_CLASSES, platform
from vidjax.bench.shipped import SHIPPED
from vidjax.bench.step import repeat
from vidjax.config import Config, get_key, left_open
from vidjax.objectives import Objective, configured
from vidjax.training.choices.memory import fit_step
from vidjax.training.choices.platform import choose_by_platform
from vidjax.training.mesh import batch_sharding, make_mesh
from vidjax.training.optim import RunLength
from vidjax.training.run_step import RunStep, build_step
from vidjax.training.state import batch_shapes, init_state

_STEPS = 1000  # length of the schedule, which does not change the cost of a step


@dataclasses.dataclass(frozen=True)
class Timed:
    """The timing of a step.

    Attributes:
      clips: clips per step.
      ms: milliseconds per step in each round.
      flops_per_clip: 2 x MACs of all passes, from the architecture.
      compile_s: seconds that compilation took.
      needed_gb: memory needed on the device; None if the platform does not say.
      chosen: keys that the experiment leaves open, with the values chosen for them.
    """

    clips: int
    ms: tuple[float, ...]
    flops_per_clip: float
    compile_s: float
    needed_gb: float | None
    chosen: dict[str, Any]


def time_step(asked: Config, rounds: int) -> Timed:
    """Build the step as a run of this configuration would, on one device, and time it on random clips on that device.

    Raises:
      ConfigError: if the step does not fit the device.
    """
    mesh = make_mesh(asked.mesh, jax.local_devices()[:1])
    frozen = 1 if asked.optim.frozen_epochs else 0
    length = RunLength(_STEPS, _STEPS // 10, last_layer_frozen=frozen, per_epoch=_STEPS)
    sharding = batch_sharding(mesh)
    shapes = batch_shapes(asked.data)

    def build(config: Config) -> RunStep:
        return build_step(config, build_objective(config), length, mesh)

    with jax.set_mesh(mesh):
        placed = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding) for name, leaf in shapes.items()
        }
        fit = fit_step(choose_by_platform(asked, platform()), build, placed)
        step, config = fit.step, fit.config

        def fresh():
            return init_state(step.objective, step.optimizer.tx, config.data, config.optim.ema, config.seed)

        state = [jax.jit(fresh, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, step.shapes))()]
        batch = jax.device_put(random_batch(shapes), sharding)

        def call():
            state[0], metrics = fit.call(state[0], batch)
            return metrics["train/loss"], state[0].step

        seconds = race({"step": repeat(call)}, rounds)["step"]
    return Timed(
        clips=config.data.global_batch * config.data.clips_per_decode,
        ms=tuple(1e3 * value for value in seconds),
        flops_per_clip=step.objective.train_flops_per_clip,
        compile_s=fit.seconds,
        needed_gb=fit.needed / 1e9 if fit.needed else None,
        chosen={key: get_key(config, key) for key in left_open(asked)},
    )


def build_objective(config: Config) -> Objective:
    """Build the objective of a shipped step directly, because its task would import the data libraries."""
    builders = {
        "masked_autoencoding": lambda: configured.masked_autoencoding(config),
        "classification": lambda: configured.classification(config, NUM_CLASSES),
        "feature_prediction": lambda: configured.feature_prediction(config),
        "self_distillation": lambda: configured.self_distillation(config, _STEPS),
    }
    return builders[config.task]()


def random_batch(shapes: dict[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """Make a batch of random pixels and classes, with all rows valid."""
    rng = np.random.default_rng(0)
    batch = {
        name: rng.integers(0, 256, leaf.shape, np.uint8) for name, leaf in shapes.items() if leaf.dtype == jnp.uint8
    }
    rows = shapes["valid"].shape
    batch["label"] = rng.integers(0, NUM_CLASSES, rows, np.int32)
    return batch | {"valid": np.ones(rows, bool), "index": np.arange(*rows, dtype=np.int32)}


def main(words: list[str]) -> None:
    """Print the answer to the arguments as JSON."""
    if not words:
        print(json.dumps({"device": jax.devices()[0].device_kind, "platform": platform(), "jax": jax.__version__}))
        return
    experiment, size, rounds = words
    try:
        found = dataclasses.asdict(time_step(SHIPPED[experiment].config(tiny=size == "tiny"), int(rounds)))
    except Exception as error:  # a compiler or device may raise anything; the caller continues with the next step
        reason = (str(error).splitlines() or [""])[0]
        found = {"error": f"{type(error).__name__}: {reason}"}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
