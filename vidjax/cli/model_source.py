"""What the verbs ask of a model's source: its weights, what it can do, and how clips are taken for it."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from vidjax.cli.terminal import progress, say
from vidjax.errors import ConfigError, DataError, VideoError, WeightsError

HELP = "the folder of a run, a hub id, a folder of transformers, or a checkpoint file"
STRIDE_HELP = "between the frames of a clip; 0 spreads them over the whole video (as the model was trained)"


def load(source: str) -> Any:
    """A `vidjax.weights.Pretrained`; its notes go to standard error.

    Raises:
      WeightsError: when `source` is no model.
    """
    with progress(f"reading {source}"):
        import vidjax

        model = vidjax.from_pretrained(source)
    for note in model.notes:
        say(f"note: {note}")
    return model


def check_classifier(model: Any, source: str) -> None:
    """Refuse a model that gives no classes, and say what it is good for."""
    if model.num_classes:
        return
    if is_captioner(model):
        raise WeightsError(f"{source} is a captioner, which knows no classes; describe with `vidjax caption`")
    if is_autoencoder(model):
        raise WeightsError(
            f"{source} is a masked autoencoder, which knows no classes; `vidjax reconstruct` shows what it has "
            "learned, and fine-tuning with --config.init_from makes a classifier of it"
        )
    raise WeightsError(f"{source} holds a {model.family} without classes to predict; give a fine-tuned classifier")


def check_autoencoder(model: Any, source: str) -> None:
    """Refuse a model that cannot reconstruct, and say what it is good for."""
    if is_autoencoder(model):
        return
    what, use = (" classifier", "classify with `vidjax predict`, or ") if model.num_classes else ("", "")
    raise WeightsError(
        f"{source} holds a {model.family}{what}, which has no decoder to reconstruct with; {use}give a VideoMAE as it "
        "was pre-trained, such as MCG-NJU/videomae-base"
    )


def is_autoencoder(model: Any) -> bool:
    """Whether it was pre-trained to reconstruct and still has its decoder."""
    return "decoder" in model.params and model.num_classes is None and not is_captioner(model)


def is_captioner(model: Any) -> bool:
    """Whether it writes captions."""
    from vidjax.models.captioner import Captioner

    return isinstance(model.module, Captioner)


def check_captioner(model: Any, source: str) -> None:
    """Refuse a model that writes nothing."""
    if not is_captioner(model):
        raise WeightsError(
            f"{source} holds a {model.family} that writes no captions; give a run of task=captioning, such as that of "
            "configs/motion_caption.py"
        )


def check_new(folder: str) -> None:
    """Refuse to write into a folder that holds something, or that cannot be made."""
    path = pathlib.Path(folder)
    if path.is_dir() and any(path.iterdir()):
        raise ConfigError(f"{folder} exists and is not an empty folder; name a new one")
    check_writable(folder)


def check_writable(folder: str) -> None:
    """Refuse, before anything is computed, a folder that cannot be made or written into."""
    path = pathlib.Path(folder).absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise ConfigError(f"{folder} cannot be a folder, for {there} is a file; name another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} cannot be written, for nothing may be made in {there}; name another")


def sampling(model: Any, stride: int | None) -> tuple[int, str]:
    """Stride and sampling of a model's clips: as asked, else those of its run, else those published for its kind.

    Args:
      stride: 0 to spread the frames over the whole video; None to look it up.
    """
    from vidjax.config import Config
    from vidjax.models.zoo import usual_clip

    if stride is not None:
        if stride < 0:
            raise ConfigError(f"--stride={stride} must be at least 1, or 0 to spread the frames over the whole video")
        return max(stride, 1), "dense" if stride else "segment"
    if isinstance(model.config, Config):
        return model.config.data.stride, model.config.data.sampling
    usual = usual_clip(model.family, getattr(model.spec, "num_frames", 0), model.num_classes or 0)
    if usual is None:
        return 1, "dense"
    return max(usual.stride, 1), usual.sampling


def clip_words(data: Any) -> str:
    """How a clip is taken, in words, from a `DataConfig`."""
    if data.sampling == "segment":
        return f"{data.num_frames} frames spread over the whole video"
    if data.stride == 1:
        return f"{data.num_frames} frames in a row"
    teens = 10 < data.stride % 100 < 14
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(data.stride % 10, "th")
    return f"{data.num_frames} frames, every {data.stride}{ending}"


def check_videos(videos: list[str]) -> None:
    """Refuse, before a model is read, when there is none of the files."""
    if not any(pathlib.Path(video).exists() for video in videos):
        raise DataError(f"{videos[0]} cannot be found; name video files")


def note_if_short(video: str, data: Any) -> None:
    """Say that the last frame of a video is repeated, when a clip reaches beyond it.

    Raises:
      VideoError: when it cannot be opened, or is a picture.
    """
    from vidjax.data import probe_video

    frames, span = probe_video(video).frames, (data.num_frames - 1) * data.stride + 1
    if frames == 1:
        raise VideoError("not_video", f"{video} is a single picture; give a video")
    if data.sampling != "segment" and frames < span:
        say(f"note: {video} has {frames} frames, a clip spans {span}; its last frame is repeated (see --stride)")


def score(model: Any) -> str:
    """What makes answers of its outputs: softmax; sigmoid if it was trained to give several labels; tanh if numbers."""
    from vidjax.config import Config

    if isinstance(model.config, Config):
        return {"multi_label": "sigmoid", "regression": "tanh"}.get(model.config.task, "softmax")
    several = isinstance(model.config, dict) and model.config.get("problem_type") == "multi_label_classification"
    return "sigmoid" if several else "softmax"


def normalizes_target(model: Any) -> bool:
    """Whether an autoencoder predicts normalised pixels; so the published ones do."""
    from vidjax.config import Config

    if isinstance(model.config, Config):
        return model.config.model.normalize_target
    return bool((model.config or {}).get("norm_pix_loss", True))


def square_side(spec: Any) -> int:
    """The side of the frames that a model takes.

    Raises:
      ConfigError: when they are not square.
    """
    height, width = spec.frame_size
    if height != width:
        raise ConfigError(f"the model takes frames of {height}x{width}; on the command line they have to be square")
    return height
