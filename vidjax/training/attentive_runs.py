"""Attentive probes of `mode=probe`: the configuration of the run that trains one, and its row in the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidjax.config import Config, with_keys
from vidjax.errors import ConfigError
from vidjax.models.pooling import ATTENTIVE
from vidjax.training.choices.model import CLIP_KEYS, nearest_preset
from vidjax.weights.backbones import RANDOM
from vidjax.weights.model import Pretrained

COLUMNS = ("backbone", "", "attentive probe", "head", "top-1", "macro F1", "constant")
_FIGURES = {"accuracy": "eval/top1", "f1_macro": "eval/f1_macro"}
_SETTINGS = ("eval/head_learning_rate", "eval/head_weight_decay")


def attentive_probes(config: Config) -> tuple[str, ...]:
    """The attentive probes among `probe.probes`."""
    return tuple(name for name in config.probe.probes if name in ATTENTIVE)


def run_config(config: Config, backbone: Pretrained, probe: str) -> Config:
    """Return the configuration that trains an attentive probe: its backbone's clips and model, and the probe's heads.

    Args:
      config: a configuration with mode=probe; its sections data, eval, train and mesh and its grid of heads are used.
      backbone: the backbone, with the clip recipe for this data.
      probe: a key of `ATTENTIVE`.

    Raises:
      ConfigError: for a backbone with rectangular frames.
    """
    name, fields = nearest_preset(backbone.family, backbone.spec)
    if not isinstance(backbone.clips.image_size, int):
        raise ConfigError(
            f"{backbone.source} takes frames of {backbone.clips.image_size} pixels, but attentive probes need square "
            "frames; name another backbone"
        )
    changes: dict[str, Any] = {key: getattr(backbone.clips, key.removeprefix("data.")) for key in CLIP_KEYS}
    changes |= {
        "mode": "train", "task": "attentive_probe", "model.name": name, "model.spec": fields, "model.pooling": probe,
        "init_from": "" if backbone.source.startswith(RANDOM) else backbone.source,
        "optim.name": "adamw", "optim.schedule": "cosine", "optim.base_lr": max(config.optim.head_learning_rates),
        "optim.min_lr": 0.0, "optim.reference_batch": config.data.global_batch, "optim.warmup_epochs": 0.0,
        "optim.warmup_steps": 0, "optim.decayed": "all",
    }  # fmt: skip
    return with_keys(config, changes)


def flat_results(name: str, probe: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of results.json: probe/<backbone>/all_tokens/<probe>/<figure>."""
    figures = {key: results[source] for key, source in _FIGURES.items()}
    return {f"probe/{name}/all_tokens/{probe}/{key}": value for key, value in figures.items()}


def row(name: str, probe: str, results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a probe's row in the table with the columns `COLUMNS`."""
    rate, decay = (results[key] for key in _SETTINGS)
    shown = (results["eval/top1"], results["eval/f1_macro"], results["eval/constant_top1"])
    return name, "all tokens", probe, f"rate {rate:g}, decay {decay:g}", *(f"{value:.1%}" for value in shown)
