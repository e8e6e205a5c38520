"""How clips are taken for a model, and how the scores of their views are merged: stated once per model.

A run's recipe comes from its configuration, the recipe of public weights from their authors, and the recipe of a preset
from its sizes. Evaluation and everything that uses a model afterwards follow the same `ClipRecipe`.
"""

from __future__ import annotations

import dataclasses
import math

from vidjax.config import IMAGENET_MEAN, IMAGENET_STD, DataConfig, EvalConfig
from vidjax.config.sections.data import Channels
from vidjax.data.clips.sampling import SAMPLINGS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows that slide over a video, each scored separately.

    Attributes:
      seconds: time from the start of one window to the next; 0 for `count` windows, evenly spaced.
      count: number of windows if `seconds` is 0.
      merge: how the windows' probabilities become the video's, mean or max.
      length: length of a window in seconds, if clips are spread over windows; 0 if a window is as long as a clip, for
        example num_frames * stride frames.
      threshold: the minimum probability with which a class appears in a timeline. None means 0.5 if classes can occur
        together; if they exclude each other, the most probable class appears, whatever its probability.
    """

    seconds: float = 0.0
    count: int = 1
    merge: str = "max"
    length: float = 0.0
    threshold: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipRecipe:
    """How the clips of a video are sampled, resized, cropped and normalised, and how their scores are merged.

    Attributes:
      num_frames: number of frames of a clip.
      segments: number of shorter clips that make up a clip, each from another part of the video.
      stride: frames from one frame of a clip to the next, counted at the rate of the sampling mode if it has one,
        otherwise at the video's.
      fps: frames per second of a clip, by the video's own timestamps; overrides the stride if above 0.
      sampling: one of `SAMPLINGS`, see `sampling.eval_indices`.
      image_size: in pixels, the side of a square frame or (height, width).
      interpolation: for resizing, one of `resize.INTERPOLATIONS`.
      channels: their order in the model's input, rgb or bgr; videos are read as RGB.
      mean, std: per channel, for normalising pixels in [0, 1].
      clips: number of clips, evenly spaced in time.
      crops: number of crops of each clip, along the side that exceeds the frame.
      merge: how the views' scores are merged, a rule of `vidjax.evaluation.merge_views`.
      windows: for a model that scores windows rather than the whole video; `clips` is then 1.

    Example:
      >>> from vidjax.config import DataConfig, EvalConfig
      >>> data = DataConfig(num_frames=8, stride=2, image_size=64)
      >>> vidjax.data.ClipRecipe.of(data, EvalConfig(clips=2, crops=3)).views
      6
    """

    num_frames: int = 16
    segments: int = 1
    stride: int = 4
    fps: float = 0.0
    sampling: str = "dense"
    image_size: int | tuple[int, int] = 224
    interpolation: str = "bilinear"
    channels: Channels = "rgb"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    clips: int = 1
    crops: int = 1
    merge: str = "mean_softmax"
    windows: Windows | None = None

    @classmethod
    def of(cls, data: DataConfig, eval: EvalConfig) -> ClipRecipe:
        """The recipe of a configuration: views of whole videos, merged as class scores."""
        return cls(
            num_frames=data.num_frames, segments=data.segments, stride=data.stride, fps=data.fps,
            sampling=data.sampling, image_size=data.image_size, interpolation=data.interpolation,
            channels=data.channels, mean=data.mean, std=data.std, clips=eval.clips, crops=eval.crops, merge=eval.merge,
        )  # fmt: skip

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    @property
    def window_merge(self) -> str:
        """How the scores of windows become the score of a video: mean or max."""
        return (self.windows or Windows()).merge

    @property
    def views(self) -> int:
        """The number of views of a video, or of a window."""
        return self.clips * self.crops

    def covers(self, frames: int, fps: float) -> int:
        """Number of consecutive frames from which a clip is taken: its window, or all `frames` if it is spread."""
        if self.spread:
            return frames
        return min(frames, max(1, math.ceil(self.num_frames * self.own_stride(fps))))

    def span(self, fps: float) -> int:
        """Number of frames that a clip or segment spans in a video at `fps`; 1 if clips are spread over the video."""
        if self.spread:
            return 1
        return int((self.num_frames // self.segments - 1) * self.own_stride(fps)) + 1

    def own_stride(self, fps: float) -> float:
        """Frames from one frame of a clip to the next, in a video at `fps`."""
        return fps / self.fps if self.fps else SAMPLINGS[self.sampling].own_stride(self.stride, fps)

    @property
    def seconds(self) -> float:
        """Length of a clip in seconds if `fps` determines it, otherwise 0."""
        return self.num_frames / self.fps if self.fps else 0.0

    @property
    def spread(self) -> bool:
        """Whether a clip is spread over the whole video, whatever its length."""
        return SAMPLINGS[self.sampling].whole

    @property
    def loops(self) -> bool:
        """Whether a video that is shorter than a clip starts again; otherwise its last frame repeats."""
        return SAMPLINGS[self.sampling].loops

    @property
    def words(self) -> str:
        """How a clip is taken, for example "16 frames (every 4th frame of the video)"."""
        if self.segments > 1:
            each = dataclasses.replace(self, num_frames=self.num_frames // self.segments, segments=1)
            return f"{self.segments} clips of {each.words}"
        if self.spread:
            over = f"{self.windows.length:g} s" if self.windows and self.windows.length else "the whole video"
            return f"{self.num_frames} frames spread over {over}"
        if self.fps:
            return f"{self.num_frames} frames, {self.fps:g} per second"
        rate = SAMPLINGS[self.sampling].rate
        of = f" at {rate:g} fps" if rate else ""
        if self.stride == 1:
            return f"{self.num_frames} frames in a row{of}"
        teens = 10 < self.stride % 100 < 14
        ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(self.stride % 10, "th")
        return f"{self.num_frames} frames (every {self.stride}{ending} frame of the video{of})"

    def sample(self, data: DataConfig) -> DataConfig:
        """The data configuration with this recipe's sampling, since rows of some data sets (AFEW-VA) depend on it."""
        names = ("num_frames", "segments", "stride", "fps", "sampling")
        clip = {name: getattr(self, name) for name in names}
        return dataclasses.replace(data, **clip)

    def one_view(self) -> ClipRecipe:
        """The same recipe with a single clip and its central crop."""
        return dataclasses.replace(self, clips=1, crops=1)
