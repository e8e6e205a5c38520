"""The state that a run starts from: restored where it left off, taken over from another run, or fresh."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vidjax.config import Config
from vidjax.objectives.base import Adopting
from vidjax.training import fingerprint
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.init.captioner import begin_captioner
from vidjax.training.init.transfer import take_over
from vidjax.training.mesh import param_shardings
from vidjax.training.state import TrainState, init_state


def state_shapes(config: Config, objective, tx: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """Shapes of the state with the place of every leaf, as `ShapeDtypeStruct`s; nothing is computed."""
    init = functools.partial(init_state, objective, tx, config.data, config.optim.ema, config.seed)
    shapes = jax.eval_shape(init)
    places = param_shardings(shapes, mesh, config.mesh.fsdp_min_size)
    return jax.tree.map(lambda s, at: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=at), shapes, places)


def start(
    config: Config,
    objective,
    tx: optax.GradientTransformation,
    shapes: TrainState,
    checkpoints: Checkpoints,
    identity: dict,
    say: Callable[[str], None],
) -> TrainState:
    """Restore the newest whole checkpoint of this run, or begin.

    Args:
      shapes: of `state_shapes`.
      identity: of `fingerprint.fingerprint`; a checkpoint of another experiment is refused.

    Raises:
      ResumeError: when the folder's checkpoints belong to another experiment or are all damaged.
      ConfigError: when `config.init_from` does not fit.
    """

    def check_meta(meta: dict) -> None:
        for sentence in fingerprint.compare(meta["fingerprint"], identity, checkpoints.directory.parent):
            say(f"note: {sentence}")

    restored = checkpoints.restore(shapes, check_meta, say)
    if restored:
        step, state = restored
        say(f"resumed from checkpoint {step}")
        return state
    init = functools.partial(init_state, objective, tx, config.data, config.optim.ema, config.seed)
    state = jax.jit(init, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes))()
    if config.task == "captioning" and (config.init_from or config.caption.decoder_from):
        params, sentences = begin_captioner(state.params, config, objective)
        for sentence in sentences:
            say(f"starting from {sentence}")
        state = _begin(config, state, params)
    elif config.init_from:
        params, sentence = take_over(state.params, config.init_from, objective)
        say(f"starting from {sentence}")
        state = _begin(config, state, params)
        if isinstance(objective, Adopting):
            state = state._replace(extra=objective.adopt(params, state.extra))
    return state


def _begin(config: Config, state: TrainState, params) -> TrainState:
    """A fresh state with other parameters, whose moving average begins there."""
    return state._replace(params=params, ema=jax.tree.map(jnp.copy, params) if config.optim.ema else {})
