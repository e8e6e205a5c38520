"""The videos: where they are, and how they become clips."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from vidjax.config.types import (
    AtLeast,
    Changeable,
    Count,
    Fraction,
    MayChange,
    NotNegative,
    OneOf,
    OrAuto,
    Part,
    Registered,
)
from vidjax.errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Choices that are the keys of a table, named as module:TABLE.
Sampling = Annotated[str, OneOf("vidjax.data.clips.sampling:SAMPLINGS")]
Crop = Annotated[str, OneOf("vidjax.data.clips.augment:CROPS")]
Interpolation = Annotated[str, OneOf("vidjax.data.clips.resize:INTERPOLATIONS")]
RandAugmentInterpolation = Annotated[str, OneOf("vidjax.data.clips.randaugment:INTERPOLATIONS")]

# The order of the channels in a clip.
Channels = Literal["rgb", "bgr"]

OpenEnded = Annotated[bool, Changeable("the set of accepted files changes, and so do the clips from here on")]


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """One source of a mixture, under a name of your own: `data.mixture.NAME.root` and so on."""

    weight: NotNegative[float] = 1.0  # Its share of the training videos, relative to the other weights. 0: not used.
    # A data set, or module:ATTR for a DatasetSpec of your own. folder: your own videos.
    name: Annotated[str, Registered("vidjax.data.datasets")] = "folder"
    root: MayChange[str] = ""  # As data.root
    split: str = ""  # The split to train on. all: every video of a folder. Empty: data.train_split.
    stage: MayChange[str] = ""  # As data.stage; each source in a bucket needs its own folder
    checksums: MayChange[str] = ""  # As data.checksums


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the videos are, and how they become the model's input."""

    # A data set, or module:ATTR for a DatasetSpec of your own. folder: your own videos.
    name: Annotated[str, Registered("vidjax.data.datasets")] = "folder"
    # A folder of videos or of prepared records, or a file that lists videos. motion, motion_digits and synthetic need
    # none.
    root: MayChange[str] = ""
    # Sources to train on instead of name and root, each with a weight. An epoch has as many videos as all sources
    # together. name and root then only give the videos for validation; if they give none, the source with the
    # largest weight gives them.
    mixture: dict[str, SourceConfig] = dataclasses.field(default_factory=dict, hash=False)
    stage: MayChange[str] = ""  # Local folder to which a root in a bucket (gs://, s3://) is copied
    # A list in the format of sha256sum, with paths below root. Empty: SHA256SUMS in root, if there is one.
    checksums: MayChange[str] = ""
    # Also train on files whose format does not record where they end: raw streams, MPEG-TS and MPEG-PS.
    open_ended: OpenEnded = False
    train_split: str = "train"  # The split to train on
    eval_split: MayChange[str] = "val"  # The split to validate on and to score
    val_fraction: Part = 0.2  # Share of the videos held out for validation, if root defines no splits
    # The unit that stays in one split: a single video, or all videos of a folder, such as a scene.
    split_by: Literal["video", "folder"] = "video"
    num_classes: NotNegative[int] = 0  # Number of classes. 0: as many as the data set has.
    action_classes: tuple[int, int] = (300, 97)  # For task=action: the number of nouns and of verbs
    num_frames: Count = 16  # Frames per clip
    # For task=attentive_probe: number of shorter clips that make up a clip, each from another part of the video. The
    # backbone encodes each one separately, and a head reads the tokens of all. Must divide num_frames.
    segments: Count = 1
    # What to do if num_frames is not a multiple of the model's tubelet: refuse it, repeat the last frame to fill a
    # cube, or drop the frames left over.
    tubelet_remainder: Literal["error", "repeat_last", "drop"] = "error"
    # Distance from one frame of a clip to the next, in frames of the video; for sampling=seconds, in thirtieths of a
    # second. The segment modes ignore it.
    stride: Count = 4
    # Frames per second of a clip, for sampling=dense, dense_span and dense_loop. Frames are taken by each video's
    # timestamps, whatever its frame rate. Overrides stride if above 0.
    fps: NotNegative[float] = 0.0
    sampling: Sampling = "dense"  # Which frames make a clip; vidjax/data/clips/sampling.py explains the modes
    image_size: Count = 224  # Height and width of a clip, in pixels
    # (frames, pixels) of the cubes into which the loader cuts clips for masked autoencoding and feature prediction.
    # Empty: the device cuts the clips.
    cubes: MayChange[tuple[int, ...]] = ()
    balance: Literal["none", "classes"] = "none"  # classes: show every class as often as the largest one
    clips_per_decode: Count = 1  # Differently augmented clips made from the same frames of one decoded video
    # Videos per step, over all devices; a step has global_batch * clips_per_decode clips. 0: depends on the number of
    # videos.
    global_batch: OrAuto[int] = 32
    crop: Crop = "random_resized"  # How training clips are cropped
    # For multi_scale: side lengths of a crop to choose from, as shares of the frame's short side.
    crop_scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    # For random_resized: smallest and largest share of the frame's area that a crop covers.
    crop_area: tuple[float, ...] = (0.08, 1.0)
    crop_aspect: tuple[float, ...] = (0.75, 4 / 3)  # For random_resized: smallest and largest width / height of a crop
    # For short_side and short_side_inverse: smallest and largest short side before the crop, in pixels.
    short_side: tuple[int, ...] = (256, 320)
    # How frames are resized, in training and in evaluation. If they shrink by more than a factor of 2, areas are
    # averaged instead, except with bilinear_antialias.
    interpolation: Interpolation = "bilinear"
    channels: Channels = "rgb"  # Order of the channels in a clip. TimeSformer's public SSv2 weights take bgr.
    flip: Fraction = 0.0  # Probability of a horizontal flip
    rand_augment: str = ""  # For example rand-m7-n4-mstd0.5-inc1, or scenic-m20-n2. Empty: off.
    # Interpolation for the rotations, shears and translations of rand_augment.
    rand_augment_interpolation: RandAugmentInterpolation = "bicubic"
    # Strength of the random changes in brightness, contrast, saturation and hue; all 0: off.
    color_jitter: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    color_jitter_prob: Fraction = 1.0  # Probability that a clip is jittered, if any value of color_jitter is above 0
    grayscale: Fraction = 0.0  # Probability that a clip loses its colours
    erase: Fraction = 0.0  # Probability of random erasing, with one region for all frames of a clip
    mixup: NotNegative[float] = 0.0  # Alpha of mixup's Beta distribution; 0: off
    cutmix: NotNegative[float] = 0.0  # Alpha of cutmix's Beta distribution; 0: off
    mix_prob: Fraction = 1.0  # Probability that a group of clips is mixed, if mixup or cutmix is above 0
    mix_switch_prob: Fraction = 0.5  # Probability of cutmix rather than mixup, if both are above 0
    # Number of clips that share one draw of mixup or cutmix and are mixed with each other. Published recipes mix the
    # clips of one GPU: its videos x clips_per_decode. 0: all clips of a step.
    mix_group: NotNegative[int] = 0
    # For self-distillation: frames of each global view. Empty: batches of single clips.
    global_views: tuple[int, ...] = ()
    local_views: tuple[int, ...] = ()  # For self-distillation: frames of each local view
    local_size: Count = 96  # Height and width of local views, in pixels
    # For local views: smallest and largest share of the frame's area that a crop covers.
    local_area: tuple[float, ...] = (0.05, 0.4)
    # Length of a local view, as a share of the window: num_frames * stride frames or, with fps, num_frames / fps
    # seconds.
    local_span: Fraction = 0.125
    mean: tuple[float, ...] = IMAGENET_MEAN  # Mean per channel, subtracted from pixels in [0, 1]
    std: tuple[float, ...] = IMAGENET_STD  # Standard deviation per channel; divides pixels minus mean
    # Processes that decode. 0: this process decodes, in threads. -1: depends on the cores and the free memory.
    workers: MayChange[Annotated[int, AtLeast(-1)]] = -1
    threads: MayChange[Count] = 2  # Decoding threads per process
    prefetch: MayChange[Count] = 2  # Batches prepared ahead of the step
    # GB of decoded training frames to keep in memory, if this process decodes. 0: none. -1: up to a quarter of the free
    # memory.
    cache_gb: MayChange[Annotated[float, AtLeast(-1)]] = -1.0
    # End the run if no video has been decoded for this many seconds; the loader is then assumed to hang. 0: no limit.
    stall_seconds: MayChange[NotNegative[float]] = 300.0

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """The shape of a training clip from the loader: (t h w c) or, if it is cut into `cubes`, (n, values per cube).

        Raises:
          ConfigError: when the cubes do not tile a clip.
        """
        frames, side = self.num_frames, self.image_size
        if not self.cubes:
            return frames, side, side, 3
        if len(self.cubes) != 2 or min(self.cubes) < 1 or frames % self.cubes[0] or side % self.cubes[1]:
            raise ConfigError(
                f"data.cubes={self.cubes} do not tile {frames} frames of {side} pixels; use (frames, pixels) that "
                "divide data.num_frames and data.image_size, or ()"
            )
        tubelet, patch = self.cubes
        return frames // tubelet * (side // patch) ** 2, tubelet * patch * patch * 3

    @property
    def views(self) -> dict[str, tuple[int, int, int, int]]:
        """Shapes (t h w c) of a row's views by their batch key, global views first; empty for single clips."""
        sized = [(t, self.image_size) for t in self.global_views] + [(t, self.local_size) for t in self.local_views]
        return {f"view_{number}": (t, size, size, 3) for number, (t, size) in enumerate(sized)}
