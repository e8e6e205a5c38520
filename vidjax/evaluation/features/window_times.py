"""The windows of a feature store's rows: their number and their times."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64


class WindowTimes(NamedTuple):
    """The windows of some consecutive rows.

    Attributes:
      counts: number of windows of each row; 0 for one without features.
      times: start and end of each window, row by row, in seconds of the video.
      fps, durations: frames per second (on average) and seconds of each video; 0 for a row without features.
    """

    counts: Int64[np.ndarray, " rows"]
    times: Float64[np.ndarray, "windows 2"]
    fps: Float64[np.ndarray, " rows"]
    durations: Float64[np.ndarray, " rows"]
