"""Sentences for the screen that state the choices made for a run, the memory it takes and its expected time."""

from __future__ import annotations

from collections.abc import Iterator

from jax.tree import leaves

from vidjax.config import Config, get_key, left_open
from vidjax.data.loader import num_workers
from vidjax.models.lora import adapted
from vidjax.models.param_paths import split
from vidjax.training.choices.memory import Fit
from vidjax.training.choices.pauses import Pauses
from vidjax.training.choices.speed import Pace
from vidjax.training.run_step import RunStep

FEW_VIDEOS = 100  # pre-training on fewer may not help: 43 did not help a classifier; 169 gave useful features


def choice_sentences(asked: Config, fit: Fit) -> Iterator[str]:
    """State the values chosen for the keys that the configuration leaves open, and the memory that the step takes."""
    still_open = left_open(fit.config)  # such as the epochs, when train.steps is given
    chosen = [f"{key}={get_key(fit.config, key)}" for key in left_open(asked) if key not in still_open]
    if chosen:
        yield f"chosen: {', '.join(chosen)}; set any of them as --config.KEY=VALUE"
    if fit.needed is not None and fit.free is not None:
        yield (
            f"a step takes {_gb(fit.needed)} of the {_gb(fit.free)} GB free on a device; videos are decoded by "
            f"{_decoders(fit.config)}"
        )


def trained_sentences(config: Config, step: RunStep) -> Iterator[str]:
    """Describe what a run with frozen parameters trains, and its optimiser state; warn of LoRA on random weights."""
    frozen, lora = step.objective.frozen, step.objective.lora
    if not frozen:
        return
    trained, held = (leaves(half) for half in split(step.shapes.params, frozen))
    part, whole = (sum(leaf.size for leaf in of) for of in (trained, trained + held))
    state = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves(step.shapes.opt_state))
    what = ""
    if lora:
        names = ", ".join(adapted(split(step.shapes.params, frozen)[1], lora))
        what = f"; LoRA of rank {lora.rank}, alpha {lora.alpha:g}, on {names}"
    yield (
        f"trained: {part:,} of {whole:,} parameters ({part / whole:.2%}), with {state / 1e6:,.1f} MB of optimiser "
        f"state{what}"
    )
    if lora and not config.init_from:
        yield "LoRA adapts random weights here, and will learn little; name trained weights with --config.init_from"


def pace_sentence(pace: Pace, steps: int, pauses: Pauses) -> str:
    """Estimate the time for `steps` steps and their pauses, and say what the estimate is based on."""
    *parts, last = (f"{steps} steps", *pauses.words)
    validation = f", and {pauses.validation:.2g} s for a validation" if pauses.validations else ""
    return (
        f"time: about {duration(pace.step * steps + pauses.seconds)} for {', '.join(parts)} and {last}, estimated from "
        f"{pace.compute:.2g} s to compute a step and {pace.decode:.2g} s to decode its videos{validation}"
    )


def few_videos_sentence(config: Config, num_videos: int) -> str:
    """Warn about masked autoencoding from random weights on few videos; empty if there are enough."""
    if config.task != "masked_autoencoding" or config.init_from or num_videos >= FEW_VIDEOS:
        return ""
    return (
        f"{num_videos} videos are few for learning without labels; in our trials, such runs did not help a classifier. "
        "Add videos, or start from public weights instead, for example with --config=finetune "
        "--config.init_from=MCG-NJU/videomae-base"
    )


def duration(seconds: float) -> str:
    """Return a rounded length of time: 40 seconds, 12 minutes, 5 hours, 3 days."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{max(seconds, 2):.0f} seconds"


def _decoders(config: Config) -> str:
    workers = num_workers(config.data)
    return f"{workers} processes (data.workers)" if workers else f"{config.data.threads} threads (data.threads)"


def _gb(number: int) -> str:
    return f"{number / 1e9:.2g}" if number < 1e10 else f"{number / 1e9:.0f}"
