"""Initialise a GPT-2 from another model: a folder, a file or a model on the hub."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from vidjax.config import Config
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.models.gpt2 import GPT2
from vidjax.objectives.base import Part
from vidjax.training.mesh import place_like
from vidjax.weights import pretrained
from vidjax.weights.families.gpt2 import with_cross_attention
from vidjax.weights.rules import flatten, nest


def init_language_model(params: Mapping, part: Part, source: str, config: Config) -> tuple[dict, str]:
    """Replace the parameters of a language model with those of another; new cross-attention starts from random values.

    Args:
      params: parameters of the part, with their shardings.
      source: anything that `vidjax.from_pretrained` takes.
      config: its seed draws the cross-attention that the source lacks.

    Returns:
      The parameters with their shardings, and a sentence that says what was used.

    Raises:
      ConfigError: when the source cannot be loaded, is not a GPT-2, or is a GPT-2 of another size.
    """
    try:
        model = pretrained.load(source)
    except (ResumeError, WeightsError) as error:
        raise ConfigError(f"config.{part.key}: {error}") from error
    if not isinstance(model.module, GPT2):
        raise ConfigError(f"config.{part.key}={source!r} holds a {model.family}, not a GPT-2")
    _, theirs, notes = with_cross_attention(model.module, model.params, jax.random.key(config.seed))
    named, found = flatten(params), flatten(theirs)
    for name, leaf in named.items():
        if name not in found or found[name].shape != leaf.shape:
            there = f"has shape {found[name].shape} there" if name in found else "is not there"
            raise ConfigError(
                f"config.{part.key}={source!r} does not fit caption.decoder={config.caption.decoder}: {name} "
                f"{leaf.shape} {there}; set caption.decoder and caption.vocab_size to match that model"
            )
    used = {name: place_like(jax.device_get(found[name]), leaf) for name, leaf in named.items()}
    return nest(used), "; ".join([f"parameters of {source}", *model.notes, *notes])
