"""Limits of a server on file size, video length, queue length and upload time."""

from __future__ import annotations

import dataclasses

from vidjax.data.video.strangers import VideoLimits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits(VideoLimits):
    """Limits of a server.

    Attributes:
      megabytes: maximum body size in MiB (2^20 bytes); bodies are kept in memory.
      seconds: maximum video length.
      queue: maximum number of requests in flight: being received, decoded, batched or computed.
      upload_seconds: time limit for a client to send its request.
      drain_seconds: time after a stop signal to finish accepted requests.

    Raises:
      ConfigError: for a limit that is not positive.
    """

    megabytes: int = 50
    seconds: int = 600
    queue: int = 32
    upload_seconds: float = 30.0
    drain_seconds: int = 30
