"""The state that a run starts from: restored, initialised from other checkpoints, or random."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from vidjax.config import Config
from vidjax.errors import ConfigError
from vidjax.models.param_paths import flatten, split
from vidjax.objectives import Objective
from vidjax.objectives.base import FIXED, Params
from vidjax.progress import progress
from vidjax.training import resume_check
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.init.parts import init_parts
from vidjax.training.run_step import RunStep
from vidjax.training.spikes import remembered
from vidjax.training.state import TrainState, init_state
from vidjax.training.telemetry import say
from vidjax.weights import adapt
from vidjax.weights.adapter import FINAL_NORM


def start(config: Config, step: RunStep, checkpoints: Checkpoints, identity: dict) -> TrainState:
    """Restore the newest undamaged checkpoint of this run, or initialise a new state.

    Args:
      identity: the `resume_check.fingerprint` of this run; a checkpoint of another experiment is refused.

    Raises:
      ResumeError: when the folder's checkpoints belong to another experiment or are all damaged.
      ConfigError: when a checkpoint that the configuration names does not fit, or `config.init_from` lacks parameters
        that LoRA would not train.
    """
    objective, tx, shapes = step.objective, step.optimizer.tx, step.shapes

    def check_meta(meta: dict) -> None:
        for sentence in resume_check.compare(meta["fingerprint"], identity, checkpoints.directory.parent):
            say(f"note: {sentence}")

    restored = checkpoints.restore(shapes, check_meta, say)
    init = functools.partial(init_state, objective, tx, config.data, config.optim.ema, config.seed, remembered(config))
    places = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    if restored:
        number, state = restored
        say(f"resumed from checkpoint {number}")
        if not objective.fixed_parts:
            return state
        fixed = jax.jit(lambda: init().extra[FIXED], out_shardings=places.extra[FIXED])()
        return _with_fixed(state._replace(extra=state.extra | {FIXED: fixed}), config, objective)
    with progress("initialising the parameters", visible=jax.process_index() == 0):
        drawn = jax.block_until_ready(jax.jit(init, out_shardings=places)())
    state = _with_fixed(drawn, config, objective)
    params, sentences = init_parts(state.params, config, objective.parts)
    if not sentences:
        return state
    if objective.lora:
        _check_base(state.params, params, objective, config)
    for sentence in sentences:
        say(f"starting from {sentence}")
    average = jax.tree.map(jnp.copy, params) if config.optim.ema else {}
    extra, sentences = init_parts(objective.init_extra(params, state.extra), config, objective.extra_parts)
    for sentence in sentences:
        say(f"starting from {sentence}")
    return state._replace(params=params, ema=average, extra=extra)


def _check_base(drawn: Params, params: Params, objective: Objective, config: Config) -> None:
    """Refuse weights that would leave random values in parameters that LoRA freezes.

    Raises:
      ConfigError: naming these parameters and the remedy.
    """
    before, held = flatten(drawn), flatten(split(params, objective.frozen)[1])
    random = [path for path, leaf in held.items() if leaf is before[path] and not FINAL_NORM.search(path)]
    if random:
        raise ConfigError(
            f"config.init_from={config.init_from!r} has no {adapt.groups(random)}, which model.lora.rank="
            f"{config.model.lora.rank} would leave at random values; fine-tune in full with model.lora.rank=0"
        )


def _with_fixed(state: TrainState, config: Config, objective: Objective) -> TrainState:
    """Add the fixed parts of the state, such as a teacher, read from the checkpoints that the configuration names."""
    if not objective.fixed_parts:
        return state
    fixed, sentences = init_parts(state.extra[FIXED], config, objective.fixed_parts)
    for sentence in sentences:
        say(sentence)
    return state._replace(extra=state.extra | {FIXED: fixed})
