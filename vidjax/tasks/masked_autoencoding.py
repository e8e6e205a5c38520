"""Masked autoencoding: learn from videos without labels by predicting hidden cubes (VideoMAE, VideoMAE V2)."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.models import build_model
from vidjax.objectives import MaskedAutoencoding
from vidjax.tasks._modules import refuse, spec_options
from vidjax.tasks._task import Task
from vidjax.viz.reconstruction import reconstruct_held_out


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> MaskedAutoencoding:
    """Masked autoencoding with the family's pre-training module."""
    del num_classes, total_steps, source
    model, data = config.model, config.data
    module = build_model(model.name, **spec_options(config))
    objective = MaskedAutoencoding(
        module, model.mask, model.mask_ratio, model.normalize_target, data.mean, data.std,
        decoder_mask=model.decoder_mask, decoder_mask_ratio=model.decoder_mask_ratio,
    )  # fmt: skip
    objective.train_flops_per_clip  # noqa: B018 - refuses masks that do not fit before any work is done
    return objective


def check(config: Config) -> None:
    """Refuse a weighting of classes, which the loss does not know."""
    refuse(config, "optim.class_weights")


TASK = Task(build=build, annotation=NOTHING, check=check, draw=reconstruct_held_out)
