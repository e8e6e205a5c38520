"""Read one training clip from a file in the usual way with PyAV, OpenCV, decord or TorchCodec, on one thread."""

from __future__ import annotations

from collections.abc import Callable

import av
import cv2
import numpy as np

from vidjax.bench.videos import FRAMES, RATE
from vidjax.config import DataConfig
from vidjax.data.clips.augment import augment

RECIPE = DataConfig(num_frames=16, stride=4, sampling="dense", crop="multi_scale", image_size=224)
SPAN = RECIPE.num_frames * RECIPE.stride
PYAV = "a PyAV loop"
Clip = Callable[[str, np.random.Generator], np.ndarray]


def pyav_clip(path: str, rng: np.random.Generator) -> np.ndarray:
    """Read a clip with PyAV: seek, decode to the end of the window, and convert the wanted frames."""
    wanted, frames = _wanted(rng), []
    with av.open(path) as container:
        stream = container.streams.video[0]
        unit = float(stream.time_base or 1)
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        container.seek(int(wanted[0] / RATE / unit), stream=stream)
        for frame in container.decode(stream):
            if round((frame.pts or 0) * unit * RATE) in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == RECIPE.num_frames:
                break
    return augment(np.stack(frames), RECIPE, rng)


def opencv_clip(path: str, rng: np.random.Generator) -> np.ndarray:
    """Read a clip with OpenCV, whose reader converts only the frames that are retrieved."""
    wanted, frames = _wanted(rng), []
    video = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    video.set(cv2.CAP_PROP_POS_FRAMES, wanted[0])
    for number in range(wanted[0], wanted[-1] + 1):
        video.grab()
        if number in wanted:
            frames.append(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB))
    video.release()
    return augment(np.stack(frames), RECIPE, rng)


def decord_clip(path: str, rng: np.random.Generator) -> np.ndarray:
    """Read a batch of frames with decord, like VideoMAE's authors (the package decord2 has the same module)."""
    import decord

    wanted = _wanted(rng)
    frames = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1).get_batch(list(wanted)).asnumpy()
    return augment(frames, RECIPE, rng)


def torchcodec_clip(path: str, rng: np.random.Generator) -> np.ndarray:
    """Read a batch of frames with TorchCodec, which by default scans the whole file first."""
    import torch
    from torchcodec.decoders import VideoDecoder

    torch.set_num_threads(1)  # several threads burn processor time while they wait
    wanted = _wanted(rng)
    frames = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1).get_frames_at(list(wanted)).data
    return augment(frames.numpy(), RECIPE, rng)


LOOPS: dict[str, Clip] = {
    PYAV: pyav_clip, "an OpenCV loop": opencv_clip, "decord2": decord_clip, "torchcodec": torchcodec_clip,
}  # fmt: skip


def why_not(clip: Clip, path: str) -> str:
    """Return the reason why a loop cannot read a clip of a video on this machine; empty if it can."""
    try:
        clip(path, np.random.default_rng(0))
    except ModuleNotFoundError:
        return "not installed"
    except Exception as error:  # other people's code may raise anything
        return f"does not work here: {(str(error).splitlines() or [type(error).__name__])[0]}"
    return ""


def _wanted(rng: np.random.Generator) -> range:
    """Return the frame numbers of a random window."""
    start = int(rng.integers(0, FRAMES - SPAN + 1))
    return range(start, start + SPAN, RECIPE.stride)
