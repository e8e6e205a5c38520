"""Clips as a person would film them, for tests and documents: textured objects that move through textured scenes.

python real_clips.py FOLDER COUNT [SEED]: class folders; with --flat as the last word, one folder without labels.

Each is H.264 at 320x240 with sound and lasts two to four seconds. Frame rates vary, some clips are stored rotated as by
telephones, and the hand that films shakes slightly. Only the motion depends on the class: a clip played backwards
belongs to the opposite class, or to its own, and place, size, speed, colours and textures are drawn alike for all. So
neither a frame nor the mean of all frames distinguishes left from right.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

CLASSES = ("circle", "down", "left", "right", "up")  # a circle may go either way round
TURNS = ("circle_left", "circle_right")  # counter-clockwise and clockwise: far harder to learn from a few clips
HEIGHT, WIDTH = 240, 320
_HEADING = {"right": 0.0, "down": 90.0, "left": 180.0, "up": 270.0}  # degrees clockwise from the right
_RATES = (30, 30, 25, 24, 30, 15, 30, 50)  # frames per second of successive clips
_ROTATIONS = (0, 0, 0, 0, 90, 0, 0, 0, 0, 180, 0, 0, 0, 270)  # degrees counter-clockwise by which a player rotates it
_MARGIN = 24  # pixels of the scene beyond the frame, as room for shaking
_SOUND_RATE = 44_100


@dataclasses.dataclass(frozen=True)
class Clip:
    """Everything about a clip except its frames: class, frames per second, seconds, and stored rotation."""

    label: str
    rate: int
    seconds: float
    rotation: int


def write_clips(
    root: str | Path, count: int, *, seed: int = 0, labelled: bool = True, classes: Sequence[str] = CLASSES
) -> list[Path]:
    """Write clips, each determined only by its number and the seed.

    Args:
      root: receives `<class>/clip_<number>.mp4`, or `clip_<number>.mp4` for unlabelled clips.
      count: total number of clips; classes alternate.
      classes: some of `CLASSES` and `TURNS`.

    Returns:
      their paths, by number.
    """
    paths = []
    for number in range(count):
        label = classes[number % len(classes)]
        path = Path(root, label if labelled else "", f"clip_{number:04d}.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, *draw_clip(label, number, seed))
        paths.append(path)
    return paths


def draw_clip(label: str, number: int, seed: int = 0) -> tuple[Clip, np.ndarray]:
    """Draw a clip and its frames (t h w 3), uint8, as a viewer should see them."""
    rng = np.random.default_rng([seed, number])
    rate = int(rng.choice(_RATES))
    clip = Clip(label, rate, round(rng.uniform(2.0, 4.0), 2), int(rng.choice(_ROTATIONS)))
    times = np.arange(round(clip.seconds * rate)) / rate
    return clip, _film(_path(label, times, rng), times, rng)


def write_clip(path: Path, clip: Clip, frames: np.ndarray) -> None:
    """Encode a clip with a humming sound; every run writes the same bytes."""
    frames = np.rot90(frames, -clip.rotation // 90, axes=(1, 2))
    with av.open(str(path), "w") as output:
        picture = output.add_stream("libx264", rate=clip.rate)
        picture.height, picture.width, picture.pix_fmt = *frames.shape[1:3], "yuv420p"
        picture.codec_context.thread_count = 1  # the same bytes on any machine
        # with mbtree, bytes also vary between runs
        picture.options = {"preset": "veryfast", "crf": "23", "x264-params": "no-mbtree=1:log-level=none"}
        if clip.rotation:
            picture.set_display_rotation(clip.rotation)
        sound = output.add_stream("aac", rate=_SOUND_RATE, layout="mono")
        for pixels in frames:
            output.mux(picture.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        output.mux(picture.encode(None))
        waves = 0.2 * np.sin(np.arange(int(clip.seconds * _SOUND_RATE)) * 2 * np.pi * 220 / _SOUND_RATE)
        heard = av.AudioFrame.from_ndarray(waves.astype(np.float32)[None], format="fltp", layout="mono")
        heard.rate = _SOUND_RATE
        output.mux(sound.encode(heard))
        output.mux(sound.encode(None))


def _path(label: str, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The object's position (t 2) at each time: x and y from the centre, in units of the frame's height."""
    speed = rng.uniform(0.45, 0.8)  # heights per second
    start = rng.random()  # as a share of the path
    lane = rng.uniform(-0.22, 0.22)
    if label not in _HEADING:
        turn = {"circle_right": 1, "circle_left": -1}.get(label) or rng.choice((-1, 1))
        radius = rng.uniform(0.18, 0.3)
        angle = 2 * np.pi * start + turn * speed / radius * times
        middle = np.array([lane, rng.uniform(-0.12, 0.12)])
        return middle + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    heading = np.deg2rad(_HEADING[label] + rng.uniform(-12, 12))
    across = 1.7 if label in ("left", "right") else 1.35  # from beyond one border to beyond the other
    along = (start + speed / across * times) % 1.0 - 0.5
    return np.outer(across * along, [np.cos(heading), np.sin(heading)]) + lane * np.array(
        [-np.sin(heading), np.cos(heading)]
    )


def _film(path: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Film an object that follows the path through a scene, with a shaking camera, changing light and noise."""
    dark, light = _two_colours(rng)
    if rng.random() < 0.5:
        dark, light = light, dark
    place = _textured((HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN), dark, rng)
    side = round(HEIGHT * rng.uniform(0.2, 0.36))
    thing, shape = _textured((side, side), light, rng), _shape(side, rng)
    shake = np.clip(_wander(times, 0.015 * HEIGHT, rng), 1 - _MARGIN, _MARGIN - 1)
    brightness = 1 + 0.08 * np.sin(rng.uniform(0, 2 * np.pi) + rng.uniform(1, 4) * times)
    noise = rng.normal(0, 4, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.float32)
    frames = np.empty((len(times), HEIGHT, WIDTH, 3), np.uint8)
    for frame, (x, y), (right, down), bright in zip(frames, path * HEIGHT, shake, brightness, strict=True):
        picture = _shifted(place, right - _MARGIN, down - _MARGIN)
        x, y = x + WIDTH / 2 - side / 2 + right, y + HEIGHT / 2 - side / 2 + down
        ink = _shifted(shape, x, y)[..., None]
        picture += ink * (_shifted(thing, x, y) - picture)
        top, left = rng.integers(64, size=2)
        picture = bright * picture + noise[top : top + HEIGHT, left : left + WIDTH]
        frame[:] = np.clip(picture, 0, 255)
    return frames


def _shifted(picture: np.ndarray, right: float, down: float) -> np.ndarray:
    """The visible part of an image placed over the frame at a position between pixels."""
    move = np.float32([[1, 0, right], [0, 1, down]])
    return cv2.warpAffine(picture, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


def _wander(times: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random motion (t 2) around zero with standard deviation `size` along either axis."""
    rates, phases = rng.uniform(1, 9, (2, 4)), rng.uniform(0, 2 * np.pi, (2, 4))
    return size / np.sqrt(2) * np.sin(rates * times[:, None, None] + phases).sum(axis=2)


def _two_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A dark and a light colour, so that an object stands out from its scene; (3) in [0, 255]."""
    return rng.uniform(30, 110, 3), rng.uniform(140, 230, 3)


def _textured(size: tuple[int, int], colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image (h w 3), float32, around a colour: one of the textures in a second tone, over soft spots."""
    texture = _TEXTURES[rng.integers(len(_TEXTURES))]
    tone = rng.normal(0, 28, 3)
    spots = _spots(size, 40, rng)[..., None] * rng.normal(0, 10, 3)
    return np.clip(colour + (texture(size, rng)[..., None] - 0.5) * tone + spots, 0, 255).astype(np.float32)


def _grid(size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in pixels along two randomly rotated axes, from a random origin."""
    angle = rng.uniform(0, 2 * np.pi)
    down, right = np.mgrid[: size[0], : size[1]].astype(np.float32) + rng.uniform(0, 99, (2, 1, 1)).astype(np.float32)
    return right * np.cos(angle) - down * np.sin(angle), right * np.sin(angle) + down * np.cos(angle)


def _bricks(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    along, across = _grid(size, rng)
    long, high = rng.uniform(24, 48), rng.uniform(10, 20)
    row = np.floor(across / high)
    return (((along + row % 2 * long / 2) % long > 3) & (across % high > 3)).astype(np.float32)


def _squares(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    along, across = _grid(size, rng)
    side = rng.uniform(10, 30)
    return (np.floor(along / side) + np.floor(across / side)) % 2


def _wood(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    along, across = _grid(size, rng)
    bent = across + 6 * np.sin(along / rng.uniform(20, 50)) + 4 * _spots(size, 20, rng)
    return 0.5 + 0.5 * np.sin(2 * np.pi * bent / rng.uniform(8, 24))


def _clouds(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    return np.clip(0.5 + sum(_spots(size, wide, rng) / 5 for wide in (4, 8, 16, 32)), 0, 1)


def _pebbles(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    seeds = np.full(size, 255, np.uint8)
    count = max(4, size[0] * size[1] // 400)
    seeds[rng.integers(size[0], size=count), rng.integers(size[1], size=count)] = 0
    return np.minimum(cv2.distanceTransform(seeds, cv2.DIST_L2, 3) / 12, 1)


def _plain(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    return 0.5 + _spots(size, 12, rng) / 10


_TEXTURES: tuple[Callable, ...] = (_bricks, _squares, _wood, _clouds, _pebbles, _plain)


def _spots(size: tuple[int, int], wide: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise with a standard deviation near 1, in spots `wide` pixels wide."""
    coarse = rng.normal(size=(size[0] // wide + 2, size[1] // wide + 2)).astype(np.float32)
    return 1.3 * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def _shape(side: int, rng: np.random.Generator) -> np.ndarray:
    """The shape of an object as ink (side side) in [0, 1]: a disc, a ring, or a randomly rotated polygon."""
    ink, middle, radius = np.zeros((4 * side, 4 * side), np.uint8), (2 * side, 2 * side), int(1.9 * side)
    kind = rng.integers(6)
    if kind == 0:
        cv2.circle(ink, middle, radius, 255, -1)
    elif kind == 1:
        cv2.circle(ink, middle, int(0.75 * radius), 255, int(0.45 * radius))
    else:
        corners, notch = ((3, 1), (4, 1), (6, 1), (5, 0.5))[kind - 2]  # triangle, square, hexagon, star
        angles = rng.uniform(0, 2 * np.pi) + np.pi * np.arange(2 * corners) / corners
        inner = np.cos(np.pi / corners) if notch == 1 else notch
        reach = radius * np.where(np.arange(2 * corners) % 2, inner, 1)
        points = 2 * side + np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)
        cv2.fillPoly(ink, [points.astype(np.int32)], 255)
    return cv2.resize(ink, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


if __name__ == "__main__":
    folder, count, *others = sys.argv[1:]
    flat = others[-1:] == ["--flat"]
    write_clips(folder, int(count), seed=int(others[0]) if others[: 1 - flat] else 0, labelled=not flat)
