"""Types of the zoo: published accuracies with their protocols, published costs, and the names of weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from vidjax.config.sections.data import Channels

# Number of classes of the data sets of published results.
CLASSES = {
    "Kinetics-400": 400,
    "Kinetics-600": 600,
    "Kinetics-710": 710,
    "Something-Something v2": 174,
    "UCF101": 101,
    "HMDB51": 51,
    "Diving48": 48,
    "Jester": 27,
    "COIN": 180,
}

# The meaning of the short notes on results.
NOTES = {
    "distilled": "a student of VideoMAE V2's giant, not fine-tuned further",
    "via K710": "fine-tuned on Kinetics-710 first",
    "masked": "pre-trained on masked video with a CLIP teacher",
    "joint": "joint space-time attention",
    "space only": "attention within frames only",
    "frozen": "attention pooling and a linear head, trained on frozen features; their weights are not public",
    "zero-shot": "not trained on these classes: a model with a text tower compares the class names with each video",
    "probe": "an attentive probe of frozen features; in its authors' test it reads the tokens of all clips at once",
}


@dataclasses.dataclass(frozen=True)
class Result:
    """One published accuracy of a preset.

    Attributes:
      data: a key of `CLASSES`.
      top1, top5: per cent; None if the source has no figure.
      clips, crops: clips per video and crops per clip; None if the source does not say.
      stride: distance between the frames of a clip; 0 if they are spread over the whole video; None if the source does
        not say.
      sampling: a key of `vidjax.data.clips.sampling.SAMPLINGS`: how clips were taken in training and testing.
      interpolation: a key of `vidjax.data.clips.resize.INTERPOLATIONS`: how test frames were resized.
      channels: channel order in training and testing, rgb or bgr.
      checkpoint: which checkpoint was scored: the last, or the one that scored best on the same videos.
      overrides: fields of the spec in which this model differs from its preset, such as {"num_frames": 16}.
      gmacs: cost of one view in billions of multiply-accumulates, with as many decimals as published (an int if it has
        none); None if not published.
      weights: argument for `from_pretrained`: a hub id, a file on the hub (owner/name/file.pth), or the name of the
        authors' file, which has to be downloaded first; empty if there are none.
      note: the difference from other results on the same data; `NOTES` explains short ones.
      source: where the figures are printed.
    """

    data: str
    top1: float | None
    top5: float | None
    clips: int | None
    crops: int | None
    stride: int | None
    source: str
    sampling: str = "dense"
    interpolation: str = "bilinear"
    channels: Channels = "rgb"
    checkpoint: Literal["best", "last"] = "last"
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    gmacs: float | None = None
    weights: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Published zero-shot recalls of one model with a text tower: videos found by caption, and captions by video.

    Attributes:
      data: name of the data set and its split.
      text_to_video, video_to_text: recall at rank 1, in per cent.
      weights, source: as in `Result`.
    """

    data: str
    text_to_video: float
    video_to_text: float
    weights: str
    source: str


@dataclasses.dataclass(frozen=True)
class Published:
    """The published facts of one preset.

    Attributes:
      results: the published results, the main one first.
      params: millions of parameters, with as many decimals as published (an int if it has none); None if not published.
      pretrained: pairs (weights, description), with weights as in `Result.weights`. The weights have no video
        classifier, or one whose accuracy is not published.
      retrieval: the published recalls of the model with a text tower.
    """

    results: tuple[Result, ...] = ()
    params: float | None = None
    pretrained: tuple[tuple[str, str], ...] = ()
    retrieval: tuple[Retrieval, ...] = ()
