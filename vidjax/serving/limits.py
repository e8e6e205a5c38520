"""What a server does not take: files, videos and queues that are too large, clients that are too slow."""

from __future__ import annotations

import dataclasses

from vidjax.data.video.strangers import VideoLimits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits(VideoLimits):
    """Limits of a server.

    Attributes:
      megabytes: of a body, which is kept in memory, each 2^20 bytes; seconds: of a video.
      queue: requests that are received, decoded, waiting or computed at once.
      upload_seconds: in which a client has to send its request.
      drain_seconds: after a signal to stop, in which requests that were taken are answered.

    Raises:
      ConfigError: for a limit that is not above 0.
    """

    megabytes: int = 50
    seconds: int = 600
    queue: int = 32
    upload_seconds: float = 30.0
    drain_seconds: int = 30
