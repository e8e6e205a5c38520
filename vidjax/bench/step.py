"""Time VideoMAE's forward pass and pre-training step against transformers on PyTorch.

Sizes, batch and mask ratio are the same. vidjax's step is the one that `vidjax.main` runs (gradients, guarded AdamW,
metrics), on one device that already has the clips. VideoMAE V2's decoder (dual masking), which does less work per clip,
has its own row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import numpy as np

from vidjax.bench import peers
from vidjax.bench.race import Run, race
from vidjax.bench.report import Row, rates
from vidjax.bench.settings import Settings, compute_dtype, platform
from vidjax.config import Config, DataConfig, MeshConfig, ModelConfig, OptimConfig
from vidjax.models.videomae import VIDEOMAE_SPECS
from vidjax.objectives import configured
from vidjax.training.choices.platform import choose_by_platform
from vidjax.training.mesh import batch_sharding, make_mesh, replicated
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import init_state
from vidjax.training.step import make_train_step
from vidjax.training.throughput import peak_flops

MASK_RATIO = 0.9
_BATCH = {"cpu": {"tiny": 8, "small": 2, "base": 2, "large": 1}, "gpu": {"base": 64, "large": 32}}
_DEFAULT_BATCH = {"cpu": 1, "gpu": 16, "tpu": 32}
_STEPS = 1000  # length of the schedule, which does not change the cost of a step
NOTE = (
    "MFU = clips/s x FLOPs per clip / peak. FLOPs per clip: 6 x the multiply-accumulates of the architecture's matrix "
    "products (forward 2, backward 4), for computed tokens only. Peak: dense bfloat16, from the maker's data sheet."
)


def measure(settings: Settings) -> list[Row]:
    """Measure the clips per second for each size, and the share of the chip's peak if that is known."""
    rows = []
    for size in settings.sizes:
        rows += _measure(size, settings)
    return rows


def batch_size(size: str, settings: Settings) -> int:
    """Return the clips per step."""
    table = _BATCH.get(platform(), {})
    return settings.batch or table.get(size, _DEFAULT_BATCH[platform()])


def _measure(size: str, settings: Settings) -> list[Row]:
    batch, dtype = batch_size(size, settings), compute_dtype(settings)
    config = bench_config(size, batch, dtype, settings)
    ours, flops = vidjax_calls(config)
    dual = dataclasses.replace(config, model=dataclasses.replace(config.model, decoder_mask="running_cell"))
    theirs = peers.videomae(VIDEOMAE_SPECS[size], batch, dtype, MASK_RATIO, settings)
    rows = []
    name = f"videomae_{size} pre-training {{}}, {batch} clips, {dtype}"
    for what in ("forward", "step"):
        contenders = {"vidjax": ours[what]} | {who: calls[what] for who, calls in theirs.items()}
        if what == "step":
            contenders["dual"] = vidjax_calls(dual)[0]["step"]
        seconds = race(contenders, settings.rounds, peers=theirs, remark=settings.remark)
        clips = {who: [batch / value for value in rounds] for who, rounds in seconds.items()}
        mine, with_dual = clips.pop("vidjax"), clips.pop("dual", None)
        rows += rates(name.format(what), "clips/s", mine, clips)
        if what == "step":
            peak = peak_flops(jax.devices()[0].device_kind)
            if peak and dtype == "bfloat16":
                share = {who: [value * flops / peak for value in rounds] for who, rounds in clips.items()}
                own = [value * flops / peak for value in mine]
                rows += rates(name.format("MFU"), f"of {peak / 1e12:.0f} TFLOP/s", own, share)
        if with_dual is not None:
            rows += rates(name.format("step with dual masking"), "clips/s", with_dual, {})
    return rows


def vidjax_calls(config: Config) -> tuple[dict[str, Run], float]:
    """Return the forward pass and the training step of a run on one device, and the step's FLOPs per clip."""
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    objective = configured.masked_autoencoding(config)
    length = RunLength(_STEPS, per_epoch=_STEPS)
    optimizer = build_optimizer(config.optim, length, global_batch=config.data.global_batch)

    def fresh():
        return init_state(objective, optimizer.tx, config.data, config.optim.ema, config.seed)

    rng, rows = np.random.default_rng(0), config.data.global_batch
    shape = objective.module.spec.clip_shape
    local = {"video": rng.integers(0, 256, (rows, *shape), np.uint8), "valid": np.ones(rows, bool)}
    with jax.set_mesh(mesh):
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)), jax.eval_shape(fresh)
        )
        state = [jax.jit(fresh, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes))()]
        train_step = make_train_step(objective, optimizer, seed=config.seed, shapes=shapes)
    batch = jax.device_put(local, batch_sharding(mesh))
    rngs = {"mask": jax.random.key(1), "dropout": jax.random.key(2)}
    loss = jax.jit(lambda params, batch: objective.loss(params, {}, batch, rngs, True)[0])

    def step():
        with jax.set_mesh(mesh):
            state[0], metrics = train_step(state[0], batch)
        return metrics["train/loss"], state[0].step

    def forward():
        with jax.set_mesh(mesh):
            return loss(state[0].params, batch)

    return {"forward": repeat(forward), "step": repeat(step)}, objective.train_flops_per_clip


def repeat(call: Callable[[], object]) -> Run:
    """Repeat a call of jitted functions, then wait for the last result."""

    def run(count: int) -> None:
        for _ in range(count):
            result = call()
        jax.block_until_ready(result)

    return run


def bench_config(size: str, batch: int, dtype: Literal["float32", "bfloat16"], settings: Settings) -> Config:
    """Return the configuration of a pre-training step as published for VideoMAE."""
    spec = VIDEOMAE_SPECS[size]
    model = ModelConfig(
        name=f"videomae_{size}", mask="tube", mask_ratio=MASK_RATIO, dtype=dtype,
        remat=settings.remat, unroll=settings.unroll, attention=settings.attention,
    )  # fmt: skip
    data = DataConfig(num_frames=spec.num_frames, image_size=spec.frame_size[0], global_batch=batch)
    return choose_by_platform(Config(model=model, data=data, optim=OptimConfig(beta2=0.95)), platform())
