"""Answers about the last seconds of a live stream at a fixed pace, skipped rather than late."""

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

_LONGEST = 10**6  # frames: a video in which every window has room
_ROUNDING = 1e-3  # seconds


@dataclasses.dataclass(frozen=True)
class Moment:
    """An answer.

    Attributes:
      start, end: of its window, seconds since the first frame.
      scores: merged over the crops.
      latency: seconds from the moment at which the window's first frame was due here to the answer.
    """

    start: float
    end: float
    scores: Float[np.ndarray, " classes"]
    latency: float


class Watch:
    """Answers about a `LiveVideo`.

    Attributes:
      skipped: answers that were due while another was computed.
      latencies: of the answers so far.
      window: seconds that a clip spans; 0 before the first answer.
    """

    def __init__(self, predictor: Predictor, every: float):
        """Compile the model, so that no answer waits for it.

        Args:
          predictor: whose recipe has a window, where its clips are spread over one.
          every: seconds between two answers.
        """
        self._predictor, self._every = predictor, every
        self.skipped, self.latencies, self.window = 0, list[float](), 0.0
        recipe = predictor.recipe
        predictor.score_views(np.zeros((recipe.crops, recipe.num_frames, *recipe.frame_size, 3), np.uint8))

    def prepare(self, frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "crops h2 w2 3"]:
        """What a model is given of a frame."""
        return eval_crops(frame[None], self._predictor.recipe)[:, 0]

    def moments(
        self, video: LiveVideo, seconds: float = math.inf, begun: Callable[[], None] = lambda: None
    ) -> Iterator[Moment]:
        """Yield a `Moment` every so many seconds of the stream.

        Args:
          seconds: after the first frame, at which to stop if the stream has not ended before.
          begun: called at the first frame.

        Raises:
          DataError: when the source cannot be read, or is over before a window is full.
          StalledError: when it sends nothing.
        """
        frames = video.wait(0.0)
        if not frames:
            raise DataError("the source has ended before its first frame")
        begun()
        until = time.monotonic() + seconds
        span, offsets = window_of(self._predictor.recipe, video.fps)
        self.window, video.keep = span / video.fps, span / video.fps + 1.0
        due = (span - 1) / video.fps - _ROUNDING
        while time.monotonic() < until and (frames := video.wait(due, until)):
            last = frames[-1].seconds
            yield self._answer(frames, last - (span - 1) / video.fps, offsets)
            skipped = int((last - due) / self._every)
            self.skipped += skipped
            due += (skipped + 1) * self._every
        if not self.latencies:
            raise DataError(
                f"{video.counts.frames} frames have come, and a window of {self.window:.2g} s was never full; "
                "--window or --stride takes less"
            )

    def _answer(self, frames: list[Kept], start: float, offsets: Float[np.ndarray, " t"]) -> Moment:
        first = min(frames, key=lambda frame: abs(frame.seconds - start))
        scores = self._predictor.score_views(pick(frames, start + offsets))
        moment = Moment(max(0.0, start), frames[-1].seconds, scores, time.monotonic() - first.due)
        self.latencies.append(moment.latency)
        return moment


def window_of(recipe: ClipRecipe, fps: float) -> tuple[int, Float[np.ndarray, " t"]]:
    """How many frames a window spans at this rate, and when those of a clip come: in seconds after its first frame.

    They are those that the recipe's test protocol takes of a window; one without a length ends with the last of them.
    """
    long = recipe.windows.length if recipe.windows else 0.0
    span = max(1, round(long * fps)) if long else recipe.covers(_LONGEST, fps)
    [indices] = eval_indices(span, fps, recipe.one_view())
    return span if long else int(indices.max()) + 1, indices / fps


def percentile(latencies: list[float], share: float) -> float:
    """The latency that this share of the answers did not exceed; 0 without answers."""
    return float(np.quantile(latencies, share)) if latencies else 0.0
