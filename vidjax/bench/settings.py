"""What a benchmark is told, and what it fills in by platform where it is told nothing."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

SIZES = ("tiny", "small", "base", "large", "huge", "huge_v2", "giant")


@dataclasses.dataclass(frozen=True)
class Settings:
    """One call of `vidjax bench`.

    Attributes:
      sizes: of models and shapes.
      batch: clips; 0: by benchmark, size and platform.
      dtype: of the computation; empty: bfloat16, on a CPU float32.
      rounds: of each contender.
      remat, unroll, attention, scan: as in the configuration of a model; empty or 0: as it is.
      step_ms, step_clips: how long an accelerator takes for how many clips, which the loader has to keep up with.
      videos: that the loader decodes.
      compile_peer: whether torch.compile is tried; None: on a GPU.
      remark: told of contenders that are left out, and why.
    """

    sizes: tuple[str, ...] = ("base",)
    batch: int = 0
    dtype: str = ""
    rounds: int = 5
    remat: str = "none"
    unroll: int = 1
    attention: str = ""
    scan: str = ""
    step_ms: float = 130.0
    step_clips: int = 32
    videos: int = 8
    compile_peer: bool | None = None
    remark: Callable[[str], None] = print


def platform() -> str:
    """cpu, gpu or tpu, as JAX runs on."""
    import jax

    return jax.default_backend()


def compute_dtype(settings: Settings) -> str:
    """The dtype of the computation."""
    return settings.dtype or ("float32" if platform() == "cpu" else "bfloat16")


def hardware(threads: int) -> str:
    """What the figures were taken on, in words."""
    import jax

    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{device.device_kind}; jax {jax.__version__}"
    return f"{_processor()}, {threads} of {os.cpu_count()} cores; jax {jax.__version__}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "CPU"
