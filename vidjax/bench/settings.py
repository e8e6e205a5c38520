"""Settings of a benchmark, with defaults that depend on the platform."""

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
    """Settings of one call of `vidjax bench`.

    Attributes:
      sizes: sizes of models and shapes.
      batch: clips per batch; 0 chooses by benchmark, size and platform.
      dtype: compute dtype; empty for bfloat16, or float32 on a CPU.
      rounds: rounds per contender.
      remat, unroll, attention, scan: as in the configuration of a model; empty or 0 chooses by platform, as in a run.
      step_ms, step_clips: milliseconds and clips of an accelerator's step, with which the loader has to keep up.
      videos: number of videos to decode or embed; 0 chooses by benchmark.
      compile_peer: whether to try torch.compile; None tries it only on a GPU.
      remark: called with a message for each contender that is left out.
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
    """Return the platform that JAX runs on: cpu, gpu or tpu."""
    import jax

    return jax.default_backend()


def compute_dtype(settings: Settings) -> Literal["float32", "bfloat16"]:
    """Return the compute dtype: as set, or by platform."""
    return settings.dtype or ("float32" if platform() == "cpu" else "bfloat16")


def hardware(threads: int) -> str:
    """Describe the measuring machine, with the installed versions of jax, torch, transformers and mamba-ssm."""
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
