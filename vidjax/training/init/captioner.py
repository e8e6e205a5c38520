"""What a captioner begins with: a backbone from one place, a language model from another, or another captioner's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax

from vidjax.config import Config
from vidjax.errors import ConfigError, WeightsError
from vidjax.training.init.transfer import place, take_over
from vidjax.weights import adapt, pretrained, runs
from vidjax.weights.families.gpt2 import with_cross_attention
from vidjax.weights.rules import flatten, nest


def begin_captioner(params: Mapping, config: Config, objective: Any) -> tuple[dict, list[str]]:
    """Replace the backbone by that of config.init_from, and the decoder by that of config.caption.decoder_from.

    The learned time embedding of a backbone for other clips is resized. Where config.init_from is the run of a
    captioner, its decoder and its mapper are taken too, unless caption.decoder_from names another.

    Args:
      params: of the new model, with their shardings.
      objective: of `config`.

    Returns:
      the parameters, each where it was; sentences that say what was taken.

    Raises:
      ConfigError: when a source does not fit; see `take_over`.
    """
    params, notes = dict(params), []
    if config.init_from:
        backbone = SimpleNamespace(module=objective.module.backbone, mean=objective.mean, std=objective.std)
        params["backbone"], sentence = take_over(params["backbone"], config.init_from, backbone)
        notes.append(f"backbone: {sentence}")
        if _is_captioner(config.init_from) and not config.caption.decoder_from:
            source = {name: leaves for name, leaves in runs.read_params(config.init_from)[1].items() if name in params}
            params, sentence = _same_shapes(params, source)
            notes.append(sentence)
    if config.caption.decoder_from:
        params["decoder"], sentence = _language_model(params["decoder"], config, objective.module.decoder)
        notes.append(sentence)
    return params, notes


def _same_shapes(params: Mapping, source: Mapping) -> tuple[dict, str]:
    """All but the backbone from another captioner, where it has the same shape."""
    named, found = flatten(params), flatten(source)
    wanted = {name for name in named if not name.startswith("backbone/")}
    fitting = {name for name in wanted if name in found and found[name].shape == named[name].shape}
    taken = {name: place(found[name], leaf) if name in fitting else leaf for name, leaf in named.items()}
    return nest(taken), f"the captioner's other parts too; new: {adapt.groups(wanted - fitting) or 'none'}"


def _language_model(params: Mapping, config: Config, decoder: Any) -> tuple[dict, str]:
    where = config.caption.decoder_from
    try:
        model = pretrained.load(where)
    except WeightsError as error:
        raise ConfigError(f"config.caption.decoder_from: {error}") from error
    if model.family != "gpt2":
        raise ConfigError(f"config.caption.decoder_from={where!r} holds a {model.family}, no GPT-2")
    _, source, notes = with_cross_attention(model.module, model.params, jax.random.key(config.seed))
    named, found = flatten(params), flatten(source)
    for name, leaf in named.items():
        if name not in found or found[name].shape != leaf.shape:
            there = f"has shape {found[name].shape} there" if name in found else "is not there"
            raise ConfigError(
                f"config.caption.decoder_from={where!r} does not fit caption.decoder={config.caption.decoder}: {name} "
                f"{leaf.shape} {there}; set caption.decoder, and caption.vocab_size, to those of that model"
            )
    taken = {name: place(jax.device_get(found[name]), leaf) for name, leaf in named.items()}
    return nest(taken), "; ".join([f"decoder: parameters of {where}", *model.notes, *notes])


def _is_captioner(init_from: str) -> bool:
    return (Path(init_from) / "checkpoints").is_dir() and runs.read_module(init_from)[0].task == "captioning"
