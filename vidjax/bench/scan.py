"""Time the selective scan against `associative_scan` over the whole length and, if installed, mamba-ssm's kernel."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from vidjax import ops
from vidjax.bench import peers
from vidjax.bench.race import race
from vidjax.bench.report import Row, times
from vidjax.bench.settings import Settings, compute_dtype, platform
from vidjax.bench.step import repeat

STATES = 16
# (b, l, d): the shapes of VideoMamba with up to 16 frames (3137 tokens), and smaller ones for a CPU.
_SHAPES = {
    "cpu": {"tiny": (1, 197, 192), "small": (1, 785, 384), "base": (2, 785, 384)},
    "gpu": {"tiny": (8, 1569, 384), "small": (8, 3137, 768), "base": (8, 3137, 1152)},
}

NOTE = ""  # the table needs no note


def measure(settings: Settings) -> list[Row]:
    """Measure the milliseconds per call of a scan in one direction."""
    rows = []
    shapes = _SHAPES["cpu" if platform() == "cpu" else "gpu"]
    for size in settings.sizes:
        if size not in shapes:
            settings.remark(f"the scan has no size {size}; it has {', '.join(shapes)}")
            continue
        batch, length, width = shapes[size]
        rows += _measure((settings.batch or batch, length, width), settings)
    return rows


def operands(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Draw x, dt, A, B, C and D in float32 for a shape (b, l, d), as in a Mamba at the start of training."""
    batch, length, width = shape
    rng = np.random.default_rng(0)

    def normal(*sizes):
        return rng.standard_normal(sizes, np.float32)

    return {
        "x": normal(batch, length, width),
        "dt": np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), shape)).astype(np.float32),
        "A": -np.tile(np.arange(1, STATES + 1, dtype=np.float32), (width, 1)),
        "B": normal(batch, length, STATES),
        "C": normal(batch, length, STATES),
        "D": np.ones(width, np.float32),
    }


def _measure(shape: tuple[int, int, int], settings: Settings) -> list[Row]:
    dtype, plain = compute_dtype(settings), operands(shape)
    arrays = [jnp.asarray(value, value.dtype if name in "AD" else dtype) for name, value in plain.items()]
    ours = _calls(arrays, settings.scan or None)
    theirs = {"associative": _calls(arrays, "associative")} | peers.mamba_scan(plain, dtype, settings.remark)
    rows = []
    for what in ("forward", "forward + backward"):
        contenders = {"vidjax": ours[what]} | {who: calls[what] for who, calls in theirs.items()}
        seconds = race(contenders, settings.rounds, peers=theirs, remark=settings.remark)
        name = f"scan of {STATES} states {shape} {dtype}, {what}"
        rows += times(name, seconds.pop("vidjax"), seconds)
    return rows


def _calls(arrays: list[jax.Array], implementation: str | None) -> dict:
    def scan(*operands):
        return ops.selective_scan(*operands, implementation=implementation)

    def backward(*operands):
        y, pull = jax.vjp(scan, *operands)
        return y, pull(jnp.ones_like(y))

    one_way, both_ways = jax.jit(scan), jax.jit(backward)
    return {"forward": repeat(lambda: one_way(*arrays)), "forward + backward": repeat(lambda: both_ways(*arrays))}
