"""The built-in data set "motion": handwritten digits that travel over textured backgrounds, in H.264 files.

The pose of a digit is a point on a torus (x, y, turn, zoom phase) that starts anywhere and moves at a constant
rate; the clip's class is the direction of travel. So the pose has the same uniform distribution for every class at
every frame: no single frame gives the class away, and a clip played backwards is a clip of the opposite class.
`DIGITS` is a second specification, for learning what is shown rather than how it moves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from vidjax.config import fingerprint
from vidjax.errors import DataError
from vidjax.progress import progress

CLASSES = ("clockwise", "counter_clockwise", "down", "left", "right", "up", "zoom_in", "zoom_out")
OPPOSITE = dict(
    zip(CLASSES, ("counter_clockwise", "clockwise", "up", "right", "left", "down", "zoom_out", "zoom_in"), strict=True)
)
# Unit rates of (x to the right, y downwards, clockwise turn, zoom phase).
_DIRECTION = {
    "clockwise": (0, 0, 1, 0),
    "counter_clockwise": (0, 0, -1, 0),
    "down": (0, 1, 0, 0),
    "left": (-1, 0, 0, 0),
    "right": (1, 0, 0, 0),
    "up": (0, -1, 0, 0),
    "zoom_in": (0, 0, 0, 1),
    "zoom_out": (0, 0, 0, -1),
}
_PHRASE = {
    "clockwise": "turns clockwise",
    "counter_clockwise": "turns counter-clockwise",
    "down": "moves down",
    "left": "moves left",
    "right": "moves right",
    "up": "moves up",
    "zoom_in": "grows",
    "zoom_out": "shrinks",
}
_MIDDLE = np.array((0.5, 0.5, 0.0, 0.5))  # the pose of an upright digit in the middle of the frame
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_COLOURS = {
    "white": (1.0, 1.0, 1.0),
    "yellow": (1.0, 0.9, 0.2),
    "red": (1.0, 0.5, 0.4),
    "pink": (1.0, 0.6, 0.8),
    "green": (0.5, 1.0, 0.4),
    "cyan": (0.4, 1.0, 1.0),
}
_SPLITS = ("train", "val", "long", "test")  # a clip's random numbers are keyed by its split's index here
_MANIFEST = "motion.json"


@dataclasses.dataclass(frozen=True)
class MotionSpec:
    """The number and appearance of the videos; equal specs give the same videos."""

    seed: int = 0
    train_videos: int = 4096
    val_videos: int = 256
    test_videos: int = 512
    long_videos: int = 0  # each of several intervals back to back, with one class per interval
    size: int = 48  # pixels, height and width; even, as 4:2:0 H.264 requires
    frames: int = 20
    fps: int = 10
    min_side: float = 0.4  # smallest side of the digit's box, as a fraction of the frame
    max_side: float = 0.7
    cycle_frames: int = 20  # frames in which the fastest digit crosses the frame or completes a zoom
    turn_frames: int = 36  # frames in which the fastest digit turns once; faster turns would seem to go the other way
    min_speed: float = 0.6  # as a fraction of the fastest digit's speed
    slant: float = 20.0  # degrees; largest angle between a digit's path and its class's axis
    spread: float = 1.0  # digits start within this share of the torus, around the upright pose in the middle
    shake: float = 0.0  # largest random displacement per frame along either axis, as a fraction of the frame
    texture: float = 1.0  # strength of the background; 0 is black
    colours: tuple[str, ...] = tuple(_COLOURS)  # colours of digits
    intervals: int = 4  # intervals of a long video
    crf: int = 10  # constant rate factor of x264; low, so that coding noise does not reveal the motion
    key_frame_every: int = 10


# Two frames of a video share the digit and hardly anything else. Background, place and size do not show which frames
# belong together, and shaking hides the slow motion.
DIGITS = MotionSpec(
    val_videos=1024,
    min_side=0.6,
    max_side=0.6,
    cycle_frames=100,
    turn_frames=180,
    spread=0.0,
    shake=0.1,
    texture=0.0,
    colours=("white",),
)


@dataclasses.dataclass(frozen=True)
class Interval:
    """A stretch of constant motion; `rate` is the change of pose per frame, `speed` is relative to the fastest."""

    label: str
    frames: int
    speed: float
    rate: tuple[float, float, float, float]

    def velocity(self, spec: MotionSpec) -> tuple[float, float]:
        """Velocity (right, down) as fractions of the fastest digit's speed, each within [-1, 1]."""
        return self.rate[0] * spec.cycle_frames, self.rate[1] * spec.cycle_frames


@dataclasses.dataclass(frozen=True)
class Clip:
    """Everything that one video shows; `start` is the pose at frame 0, all four components in [0, 1)."""

    intervals: tuple[Interval, ...]
    start: tuple[float, float, float, float]
    digit: int
    glyph: int  # row of scikit-learn's digits
    colour: str
    texture: int  # seed of the background

    def poses(self) -> Float[np.ndarray, "t 4"]:
        """Pose at every frame: x and y as fractions of the frame, clockwise turns, zoom phase; all in [0, 1)."""
        rates = np.concatenate([np.tile(part.rate, (part.frames, 1)) for part in self.intervals])
        travelled = np.concatenate([np.zeros((1, 4)), np.cumsum(rates, axis=0)[:-1]])
        return (np.asarray(self.start) + travelled) % 1.0


def draw_clip(spec: MotionSpec, split: str, row: int) -> Clip:
    """Sample what one row of a split shows; it depends only on the three arguments."""
    rng = np.random.default_rng([spec.seed, _SPLITS.index(split), row])
    count = spec.intervals if split == "long" else 1
    first = row % len(CLASSES)
    labels = [CLASSES[(first + shift) % len(CLASSES)] for shift in np.cumsum([0, *rng.integers(1, 8, count - 1)])]
    digits, rows = glyphs()[1], _rows_of_split(split)
    glyph = int(rng.integers(rows.start, rows.stop))
    return Clip(
        intervals=tuple(_draw_interval(label, spec, rng) for label in labels),
        start=tuple((_MIDDLE + spec.spread * ((rng.random(4) - _MIDDLE + 0.5) % 1.0 - 0.5)) % 1.0),
        digit=int(digits[glyph]),
        glyph=glyph,
        colour=spec.colours[rng.integers(len(spec.colours))],
        texture=int(rng.integers(2**31)),
    )


def render(clip: Clip, spec: MotionSpec) -> UInt8[np.ndarray, "t h w 3"]:
    """Render a clip: a fixed texture, and in every frame the digit at its pose, wrapped around the borders."""
    poses = clip.poses()
    poses[:, :2] += spec.shake * np.random.default_rng([clip.texture, 1]).uniform(-1, 1, (len(poses), 2))
    x, y, turn, phase = (part[:, None, None] for part in poses.T)
    pixels = (np.arange(spec.size) + 0.5) / spec.size
    right = (pixels - x + 0.5) % 1.0 - 0.5
    down = (pixels[:, None] - y + 0.5) % 1.0 - 0.5
    side = spec.min_side * (spec.max_side / spec.min_side) ** phase
    cos, sin = np.cos(2 * np.pi * turn) / side, np.sin(2 * np.pi * turn) / side
    ink = _sample(glyphs()[0][clip.glyph], down * cos - right * sin, right * cos + down * sin)[..., None]
    paint = np.asarray(_COLOURS[clip.colour], np.float32)
    frames = spec.texture * background(clip.texture, spec.size) * (1 - ink) + paint * ink
    return np.round(255 * frames).astype(np.uint8)


def prepare(root: str = "", spec: MotionSpec = MotionSpec()) -> str:
    """Write the data set unless it exists, and return its folder.

    The folder holds `{train,val,test}/<class>/<id>.mp4`, `long/<id>.mp4` if the spec has long videos, and
    `annotations.jsonl`. The files are first written to a temporary folder, which is renamed when complete, so that
    readers never see a partial data set and concurrent writers do not clash. If root is empty, the folder is in
    `$VIDJAX_CACHE` (or `~/.cache/vidjax`), named after the spec.

    Raises:
      DataError: if the folder exists but holds something else, or the complete folder cannot be moved there.
      OSError: if the files cannot be written.
    """
    target = Path(root).expanduser() if root else _cache() / f"motion-{fingerprint(spec)}"
    if _is_prepared(target, spec):
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}-{platform.node()}-"
    _sweep(target.parent, prefix)
    partial = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=target.parent))
    try:
        _write(partial, spec)
        partial.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was faster; its folder is checked below
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not _is_prepared(target, spec):
        raise DataError(f"the motion data set could not be moved to {target}; is the folder writable?")
    return str(target)


def annotations(root: str) -> list[dict]:
    """Read the annotations of a prepared folder, one dict per video.

    Each has id, split, video (path below root), digit, caption, frames and fps. Short videos also have class and
    velocity; long ones have intervals, a list of dicts of class, start, end (seconds) and velocity.
    """
    with open(Path(root) / "annotations.jsonl") as lines:
        return [json.loads(line) for line in lines]


def encode(path: Path, frames: UInt8[np.ndarray, "t h w 3"], spec: MotionSpec) -> None:
    """Write frames as an H.264 file at the spec's frame rate and quality; every run writes the same bytes."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=spec.fps)
        stream.width = stream.height = spec.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        stream.options = {
            "crf": str(spec.crf),
            "preset": "veryfast",
            "g": str(spec.key_frame_every),
            "x264-params": "no-mbtree=1:log-level=none",  # with mbtree, bytes of such small frames vary between runs
        }
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _cache() -> Path:
    return Path(os.environ.get("VIDJAX_CACHE") or "~/.cache/vidjax").expanduser()


def _sweep(folder: Path, prefix: str) -> None:
    """Remove the partial folders, `<prefix><process>-<random>`, that killed processes of this machine left."""
    for path in folder.iterdir():
        process, _, rest = path.name.removeprefix(prefix).partition("-")
        if path.name.startswith(prefix) and process.isdecimal() and rest and not _runs(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process belongs to another user
        return True
    return True


def _is_prepared(target: Path, spec: MotionSpec) -> bool:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    try:
        found = json.loads((target / _MANIFEST).read_text())
    except (OSError, ValueError):
        raise DataError(
            f"{target} is not a motion data set, which vidjax writes itself. To train on your own videos, use "
            "configs/pretrain.py or configs/finetune.py, or add --config.data.name=folder. For the motion videos, "
            "leave data.root empty"
        ) from None
    if found != json.loads(json.dumps(dataclasses.asdict(spec))):
        raise DataError(f"{target} holds a motion data set of another specification; choose another data.root")
    return True


def _write(folder: Path, spec: MotionSpec) -> None:
    rows = [(split, row) for split in _SPLITS for row in range(getattr(spec, f"{split}_videos"))]
    for split in ("train", "val", "test"):
        for label in CLASSES:
            (folder / split / label).mkdir(parents=True)
    (folder / "long").mkdir()
    glyphs()
    lines = []
    with progress("writing the motion videos", len(rows)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        for line in pool.map(lambda row: _write_video(folder, spec, *row), rows):
            lines.append(line)
            advance()
    (folder / "annotations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / _MANIFEST).write_text(json.dumps(dataclasses.asdict(spec), indent=1))


def _write_video(folder: Path, spec: MotionSpec, split: str, row: int) -> dict:
    clip = draw_clip(spec, split, row)
    first, name = clip.intervals[0], f"{split}_{row:05d}"
    video = f"long/{name}.mp4" if split == "long" else f"{split}/{first.label}/{name}.mp4"
    encode(folder / video, render(clip, spec), spec)
    ends = np.cumsum([part.frames for part in clip.intervals]) / spec.fps
    about = {
        "id": name,
        "split": split,
        "video": video,
        "digit": clip.digit,
        "caption": _caption(clip, spec),
        "frames": sum(part.frames for part in clip.intervals),
        "fps": spec.fps,
    }
    if split != "long":
        return about | {"class": first.label, "velocity": first.velocity(spec)}
    parts = [
        {"class": part.label, "start": end - part.frames / spec.fps, "end": end, "velocity": part.velocity(spec)}
        for part, end in zip(clip.intervals, ends.tolist(), strict=True)
    ]
    return about | {"intervals": parts}


def _draw_interval(label: str, spec: MotionSpec, rng: np.random.Generator) -> Interval:
    speed = rng.uniform(spec.min_speed, 1.0)
    slant = np.deg2rad(rng.uniform(-spec.slant, spec.slant))
    right, down, turn, zoom = _DIRECTION[label]
    cos, sin = np.cos(slant), np.sin(slant)
    way = right * cos - down * sin, right * sin + down * cos
    per_frame = speed / spec.cycle_frames
    rate = way[0] * per_frame, way[1] * per_frame, turn * speed / spec.turn_frames, zoom * per_frame
    return Interval(label, spec.frames, speed, rate)


def _caption(clip: Clip, spec: MotionSpec) -> str:
    def pace(part: Interval) -> str:
        return "quickly" if part.speed > (1 + spec.min_speed) / 2 else "slowly"

    deeds = [f"{_PHRASE[part.label]} {pace(part)}" for part in clip.intervals]
    return f"a {clip.colour} {_WORDS[clip.digit]} {', then '.join(deeds)}"


_loaded: dict[str, tuple] = {}


def glyphs() -> tuple[Float[np.ndarray, "n 8 8"], np.ndarray]:
    """scikit-learn's images of digits, as ink in [0, 1], and the digit that each shows; loaded once per process."""
    if not _loaded:
        from sklearn.datasets import load_digits

        digits = load_digits()
        _loaded["digits"] = (digits.images.astype(np.float32) / 16, digits.target)
    return _loaded["digits"]


def _rows_of_split(split: str) -> range:
    """The rows of scikit-learn's digits for a split; no handwritten digit appears in two splits."""
    bounds = {"train": (0, 1200), "val": (1200, 1500), "test": (1500, 1600), "long": (1600, 1797)}
    return range(*bounds[split])


def background(seed: int, size: int, waves: int = 6) -> Float[np.ndarray, "h w 3"]:
    """A smooth coloured texture in [0, 0.6]: plane waves with 0.25 to 1.25 periods across the frame."""
    rng = np.random.default_rng(seed)
    angle, periods = rng.uniform(0, np.pi, waves), rng.uniform(0.25, 1.25, waves)
    grid = 2 * np.pi * np.arange(size) / size
    along = periods * np.cos(angle) * grid[:, None, None] + periods * np.sin(angle) * grid[:, None]
    waves_2d = np.sin(along + rng.uniform(0, 2 * np.pi, waves))
    pattern = waves_2d @ (rng.normal(size=(waves, 3)) / np.sqrt(waves))
    return np.clip(rng.uniform(0.1, 0.35, 3) + 0.1 * pattern, 0, 0.6).astype(np.float32)


def _sample(
    glyph: Float[np.ndarray, "8 8"], down: Float[np.ndarray, ...], right: Float[np.ndarray, ...]
) -> Float[np.ndarray, ...]:
    """Interpolate the ink at offsets from the centre, in units of the box's side; zero outside the box."""
    padded = np.pad(glyph, 2)
    row, column = (np.clip(offset * 8 + 5.5, 0, 10.999) for offset in (down, right))
    top, left = row.astype(np.int32), column.astype(np.int32)
    below, beside = (row - top).astype(np.float32), (column - left).astype(np.float32)
    upper = padded[top, left] * (1 - beside) + padded[top, left + 1] * beside
    lower = padded[top + 1, left] * (1 - beside) + padded[top + 1, left + 1] * beside
    return upper * (1 - below) + lower * below
