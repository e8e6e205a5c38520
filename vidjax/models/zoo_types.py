"""The types of the zoo: a published accuracy with its protocol, a cost as its authors print it, where weights are."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from vidjax.config.schema import Channels

# Classes of the data sets that public checkpoints are made for.
CLASSES = {
    "Kinetics-400": 400,
    "Kinetics-600": 600,
    "Kinetics-710": 710,
    "Something-Something v2": 174,
    "UCF101": 101,
    "HMDB51": 51,
}

# What the short notes of results mean.
NOTES = {
    "distilled": "a student of VideoMAE V2's giant, not fine-tuned further",
    "via K710": "fine-tuned on Kinetics-710 first",
    "masked": "pre-trained on masked video with a CLIP teacher",
    "joint": "joint space-time attention",
    "space only": "attention within frames only",
}


@dataclasses.dataclass(frozen=True)
class Result:
    """One published accuracy of a preset.

    Attributes:
      data: a key of `CLASSES`.
      top1, top5: per cent; None where the source has no figure.
      clips, crops: views of a video; None where the source does not say.
      stride: between the frames of a clip; 0 when they are spread over the whole video; None where it is not said.
      sampling: a key of `vidjax.data.clips.sampling.SAMPLINGS`, how its clips were taken in training and in the test.
      interpolation: a key of `vidjax.data.clips.resize.INTERPOLATIONS`, how its test frames were resized.
      channels: the order of the channels that it was trained and tested with, rgb or bgr.
      checkpoint: of its training, whose accuracy this is: the last, or the one that scored best on the same videos.
      overrides: fields of the spec in which this model differs from its preset, such as {"num_frames": 16}.
      gmacs: of one view as published, an int or a float with the decimals that are printed; None where it is not.
      weights: what `from_pretrained` takes: a hub id, a file on the hub (owner/name/file.pth), or the name of the
        authors' file, which has to be downloaded first; empty when there are none.
      note: what sets it apart from another result on the same data, see `NOTES`; source: where the figures are printed.
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
class Published:
    """What is published of one preset.

    Attributes:
      results: the main one first.
      params: millions as published, an int or a float with the decimals that are printed; None where it is not.
      pretrained: weights without a classifier of videos, as in `Result.weights`, with what they are.
    """

    results: tuple[Result, ...] = ()
    params: float | None = None
    pretrained: tuple[tuple[str, str], ...] = ()
