"""What a benchmark is told, and what it fills in by platform where it is told nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from typing import Literal

NUM_CLASSES = 400  # of Kinetics-400
SIZES = ("tiny", "small", "base", "large", "huge", "huge_v2", "giant")


@dataclasses.dataclass(frozen=True)
class Settings:
    """One call of `vidjax bench`.

    Attributes:
      sizes: of models and shapes.
      batch: clips; 0: by benchmark, size and platform.
      dtype: of the computation; empty: bfloat16, on a CPU float32.
      rounds: of each contender.
      remat, unroll, attention, scan: as in the configuration of a model; empty or 0: by the platform, as in a run.
      step_ms, step_clips: how long an accelerator takes for how many clips, which the loader has to keep up with.
      videos: that the loader decodes, or that are embedded; 0: by benchmark.
      compile_peer: whether torch.compile is tried; None: on a GPU.
      remark: told of contenders that are left out, and why.
    """

    sizes: tuple[str, ...] = ("base",)
    batch: int = 0
    dtype: Literal["", "float32", "bfloat16"] = ""
    rounds: int = 5
    remat: str = "none"
    unroll: int = 0
    attention: str = ""
    scan: str = ""
    step_ms: float = 130.0
    step_clips: int = 32
    videos: int = 0
    compile_peer: bool | None = None
    remark: Callable[[str], None] = print


def platform() -> str:
    """cpu, gpu or tpu, as JAX runs on."""
    import jax

    return jax.default_backend()


def compute_dtype(settings: Settings) -> Literal["float32", "bfloat16"]:
    """The dtype of the computation."""
    return settings.dtype or ("float32" if platform() == "cpu" else "bfloat16")


def hardware(threads: int) -> str:
    """What the figures were taken on, in words, with the versions of all contenders."""
    import jax

    device = jax.devices()[0]
    what = device.device_kind if device.platform != "cpu" else f"{_processor()}, {threads} of {os.cpu_count()} cores"
    return f"{what}; {', '.join(_versions())}"


def _versions() -> Iterator[str]:
    for name in ("jax", "torch", "transformers", "mamba-ssm"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # peers are optional
            yield f"{name} {importlib.metadata.version(name)}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "CPU"
