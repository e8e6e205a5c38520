"""Masked autoencoding: learn from videos without labels by predicting hidden cubes (VideoMAE, VideoMAE V2)."""

from __future__ import annotations

from vidjax.config import Config
from vidjax.data.sources.annotations import NOTHING
from vidjax.data.sources.base import VideoSource
from vidjax.objectives import MaskedAutoencoding, configured
from vidjax.tasks._refuse import refuse
from vidjax.tasks._task import Task
from vidjax.viz.reconstruction import reconstruct_held_out


def build(config: Config, num_classes: int, total_steps: int, source: VideoSource | None) -> MaskedAutoencoding:
    """Build masked autoencoding with the family's pre-training module."""
    del num_classes, total_steps, source
    return configured.masked_autoencoding(config)


def check(config: Config) -> None:
    """Refuse class weights, which the loss does not support."""
    refuse(config, "optim.class_weights")


TASK = Task(build=build, annotation=NOTHING, check=check, draw=reconstruct_held_out)
