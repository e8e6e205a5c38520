"""Time forward passes of VideoMAE, TimeSformer and ViViT classifiers against transformers on PyTorch.

Models and clips have the same sizes. The clips are already normalised and on the device. There are 400 classes and no
gradients.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from vidjax.bench import peers
from vidjax.bench.race import Run, race
from vidjax.bench.report import Row, rates
from vidjax.bench.settings import NUM_CLASSES, Settings, compute_dtype, platform
from vidjax.bench.step import repeat
from vidjax.config import Config, ModelConfig
from vidjax.models import FAMILIES, build_model
from vidjax.training.choices.platform import choose_by_platform

COMPARED = ("videomae", "timesformer", "vivit")  # whose classifiers `peers` builds in transformers
_BATCH = {"cpu": 1, "gpu": 16, "tpu": 16}
NOTE = ""  # the table needs no note


def measure(settings: Settings) -> list[Row]:
    """Measure the clips per second for each family and size."""
    rows, dtype, batch = [], compute_dtype(settings), settings.batch or _BATCH[platform()]
    for size in settings.sizes:
        for family in COMPARED:
            if size not in FAMILIES.find(family).specs:
                settings.remark(f"{family} has no size {size}")
                continue
            ours, spec = vidjax_call(f"{family}_{size}", batch, settings)
            theirs = peers.classifier(family, spec, batch, settings)
            seconds = race({"vidjax": ours} | theirs, settings.rounds, peers=theirs, remark=settings.remark)
            clips = {who: [batch / value for value in rounds] for who, rounds in seconds.items()}
            name = f"{family}_{size} forward, {batch} clip{'s' * (batch > 1)}, {dtype}"
            rows += rates(name, "clips/s", clips.pop("vidjax"), clips)
    return rows


def vidjax_call(name: str, batch: int, settings: Settings) -> tuple[Run, Any]:
    """Return the jitted forward pass of a model with random weights, and its spec."""
    model = ModelConfig(name=name, dtype=compute_dtype(settings), unroll=settings.unroll, attention=settings.attention)
    model = choose_by_platform(Config(model=model), platform()).model
    module = build_model(
        name, num_classes=NUM_CLASSES, dtype=model.dtype, unroll=model.unroll, attention=model.attention or None
    )
    clips = np.random.default_rng(0).standard_normal((batch, *module.spec.clip_shape), np.float32)
    variables, clips = module.init(jax.random.key(0), clips[:1]), jax.device_put(clips)

    @jax.jit
    def forward(variables: Any, clips: jax.Array) -> jax.Array:
        outputs: Any = module.apply(variables, clips)
        return outputs["logits"]

    return repeat(lambda: forward(variables, clips)), module.spec
