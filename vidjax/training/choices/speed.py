"""Estimate a run's speed on this machine from its FLOPs and from decoding a few of its videos."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vidjax.config import DataConfig
from vidjax.data.clips.row_to_clips import LoadTrain
from vidjax.data.loader import decoders, frame_cache
from vidjax.data.sources.base import VideoSource
from vidjax.errors import DataError
from vidjax.training.throughput import peak_flops

_SHARE_OF_PEAK = 0.35  # the share of an accelerator's peak that a training step typically reaches
_SHARE_OF_MATMUL = 0.4  # the share of the speed of a large matrix product that a training step reaches on a CPU
_SIDE = 768  # side of that product's matrices
_VIDEOS, _SECONDS = 6, 2.0  # limits of the estimate: videos to decode, and seconds to spend on them


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds per step, for computing and for decoding.

    Attributes:
      compute: seconds that the devices take to compute a step.
      decode: seconds that the loader takes to decode its videos.
      shared: whether both use the same cores, so that the times add up; otherwise the longer one counts.
    """

    compute: float
    decode: float
    shared: bool = False

    @property
    def step(self) -> float:
        """Seconds from one step to the next."""
        return self.compute + self.decode if self.shared else max(self.compute, self.decode)


def estimate_pace(flops_per_clip: float, source: VideoSource, data: DataConfig, processes: int) -> Pace:
    """Estimate the pace of a run.

    Args:
      flops_per_clip: FLOPs per clip of a training step.
      processes: number of processes that load parts of each batch.
    """
    clips = data.global_batch * data.clips_per_decode
    compute = clips * flops_per_clip / (device_rate() * jax.device_count())
    decode = data.global_batch / processes * seconds_per_video(source, data) / decoders(data)
    return Pace(compute, decode, shared=jax.default_backend() == "cpu")


@functools.cache
def device_rate() -> float:
    """FLOP/s that a training step should reach on one device; measured once."""
    peak = peak_flops(jax.devices()[0].device_kind)
    if peak:
        return _SHARE_OF_PEAK * peak
    square = jnp.ones((_SIDE, _SIDE))
    product = jax.jit(jnp.matmul)
    product(square, square).block_until_ready()
    times = []
    for _ in range(5):
        since = time.perf_counter()
        product(square, square).block_until_ready()
        times.append(time.perf_counter() - since)
    return _SHARE_OF_MATMUL * 2 * _SIDE**3 / min(times) / jax.local_device_count()


def seconds_per_video(source: VideoSource, data: DataConfig) -> float:
    """Seconds that one decoder takes for the clips of a video, averaged over a few videos.

    Videos that fit into the frame cache count as if all of their frames were already cached.
    """
    rows = np.random.default_rng(0).choice(len(source), min(_VIDEOS, len(source)), replace=False).tolist()
    cache = frame_cache(data)
    load = LoadTrain(source, data, cache)
    try:
        decoded, count = _seconds_a_row(load, rows)
        if not cache or not cache.kept_bytes:
            return decoded
        in_memory, _ = _seconds_a_row(load, rows[:count])
    except DataError:  # none can be decoded; the run itself will report that
        return 0.0
    share = min(1.0, cache.limit / (cache.bytes_per_video * len(source)))
    return share * in_memory + (1 - share) * decoded


def _seconds_a_row(load: LoadTrain, rows: Sequence[int]) -> tuple[float, int]:
    """Mean seconds per row over as many rows as fit the time limit, and that number; all calls draw the same clips."""
    rng, since, count = np.random.default_rng(0), time.perf_counter(), 0
    for row in rows:
        load.random_map(row, rng)
        count += 1
        if time.perf_counter() - since > _SECONDS:
            break
    return (time.perf_counter() - since) / max(count, 1), count
