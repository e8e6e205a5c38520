"""Answer at fixed intervals about the most recent seconds of a live stream, and skip answers that would be late.

A window with up to 32 frames for each frame of a clip is kept in full. A longer window is thinned to that number, which
shifts the frames of a clip by at most 1/64 of the time between them.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, UInt8

from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.video.live_video import Kept, LiveVideo, pick
from vidjax.errors import DataError
from vidjax.evaluation.predict import Predictor

_LONGEST = 10**6  # frames of a video into which every window fits
_ROUNDING = 1e-3  # seconds
_CHOICE = 32  # frames of a window that are kept for each frame of a clip


@dataclasses.dataclass(frozen=True)
class Moment:
    """An answer about one window.

    Attributes:
      start, end: the window, in seconds since the first frame.
      scores: the scores, merged over the crops.
      latency: seconds from the time when the window's first frame was due until the answer.
    """

    start: float
    end: float
    scores: Float[np.ndarray, " classes"]
    latency: float


class Watch:
    """Answers about a `LiveVideo`.

    Attributes:
      skipped: number of answers that were due while another was computed.
      latencies: latencies of the answers so far.
      window: seconds that a window spans; 0 before the first frame.
    """

    def __init__(self, predictor: Predictor, every: float):
        """Compile the model, so that no answer waits for the compiler.

        Args:
          predictor: makes the answers. If its recipe spreads clips over a window, the recipe must set `windows`.
          every: seconds between two answers.
        """
        self._predictor, self._every = predictor, every
        self.skipped, self.latencies, self.window = 0, list[float](), 0.0
        recipe = predictor.recipe
        predictor.score_views(np.zeros((recipe.crops, recipe.num_frames, *recipe.frame_size, 3), np.uint8))

    def prepare(self, frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "crops h2 w2 3"]:
        """Return the crops of a frame as the model takes them."""
        return eval_crops(frame[None], self._predictor.recipe)[:, 0]

    def moments(
        self, video: LiveVideo, seconds: float = math.inf, begun: Callable[[], None] = lambda: None
    ) -> Iterator[Moment]:
        """Yield a `Moment` at fixed intervals of the stream.

        Args:
          seconds: time after the first frame at which to stop, if the stream does not end before.
          begun: called at the first frame.

        Raises:
          DataError: if the source cannot be read, or no window is full before the source ends or `seconds` are over.
          StalledError: if the source sends nothing, or breaks off.
        """
        frames = video.wait(0.0)
        if not frames:
            raise DataError("the source has ended before its first frame")
        begun()
        until = time.monotonic() + seconds
        span, offsets = window_of(self._predictor.recipe, video.fps)
        self.window = span / video.fps
        most = _CHOICE * self._predictor.recipe.num_frames
        video.keep(self.window + 1.0, self.window / most if span > most else 0.0)
        due = (span - 1) / video.fps - _ROUNDING
        while time.monotonic() < until and (frames := video.wait(due, until)):
            last = frames[-1].seconds
            yield self._answer(frames, last - (span - 1) / video.fps, offsets)
            skipped = int((last - due) / self._every)
            self.skipped += skipped
            due += (skipped + 1) * self._every
        if not self.latencies:
            raise DataError(
                f"{video.counts.frames} frames arrived, which never filled a window of {self.window:.2g} s; "
                "shorten it with --window or --stride"
            )

    def _answer(self, frames: list[Kept], start: float, offsets: Float[np.ndarray, " t"]) -> Moment:
        first = min(frames, key=lambda frame: abs(frame.seconds - start))
        scores = self._predictor.score_views(pick(frames, start + offsets))
        due = first.due + start - first.seconds
        moment = Moment(max(0.0, start), frames[-1].seconds, scores, time.monotonic() - due)
        self.latencies.append(moment.latency)
        return moment


def window_of(recipe: ClipRecipe, fps: float) -> tuple[int, Float[np.ndarray, " t"]]:
    """Return the number of frames that a window spans at this rate, and the times of a clip's frames in it.

    Times are in seconds after the first frame of the window, and follow the recipe's test protocol. A window without a
    length ends with the last frame of its clip.
    """
    long = recipe.windows.length if recipe.windows else 0.0
    span = max(1, round(long * fps)) if long else recipe.covers(_LONGEST, fps)
    [indices] = eval_indices(span, fps, recipe.one_view())
    return span if long else int(indices.max()) + 1, indices / fps


def percentile(latencies: list[float], share: float) -> float:
    """Return the latency that a fraction `share` of the answers did not exceed; 0 without answers."""
    return float(np.quantile(latencies, share)) if latencies else 0.0
