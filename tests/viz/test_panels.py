"""Versions of clips side by side: every frame, every version, in files that players and browsers read."""

import av
import numpy as np
import pytest
from PIL import Image

from vidjax.viz import moving, panels

NAMES = ("input", "masked", "reconstructed")


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    return {name: rng.random((2, 16, 32, 32, 3), dtype=np.float32) for name in NAMES}


def test_an_animation_has_every_frame_with_the_versions_from_left_to_right(clips):
    values = dict(zip(NAMES, (0.0, 0.5, 1.0), strict=True))
    flat = {name: np.full_like(clip, values[name]) for name, clip in clips.items()}
    pictures = panels.animate(flat, "a caption")
    assert len(pictures) == 16
    row = pictures[3][100].mean(axis=-1)
    third = len(row) // 3
    assert [round(float(np.median(row[i * third : (i + 1) * third]))) for i in range(3)] == [0, 128, 255]


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(24, 24, (144, 144)), (224, 224, (224, 224)), (64, 96, (128, 192)), (448, 448, (224, 224))],
)
def test_animated_frames_are_enlarged_by_a_whole_factor_or_shrunk(height, width, shown):
    clip = np.zeros((1, 2, height, width, 3), np.float32)
    clip[:, 1] = 1
    picture = panels.animate(dict.fromkeys(NAMES, clip), "")[0]
    black = (picture[30:] == 0).all(axis=-1)
    assert black.any(axis=0).sum() == 3 * shown[1]
    assert len(picture) > shown[0]


def test_strips_grow_with_clips_and_versions_and_shrink_with_frames(clips, tmp_path):
    def size(clips, titles=()):
        return Image.open(panels.draw_strips(clips, tmp_path / "a.png", "a caption", titles)).size

    wide, high = size(clips)
    one = {name: clip[:1] for name, clip in clips.items()}
    assert size(one)[1] < high
    assert size(one | {"error": one["input"]})[1] > size(one)[1]
    assert size({name: clip[:, :4] for name, clip in clips.items()})[0] < wide
    assert size(clips, ["50% hidden", "90% hidden"])[1] > high


def test_all_three_files_are_written_in_a_new_folder_with_the_same_frames(clips, tmp_path):
    files = panels.files_of(tmp_path / "new", "pictures")
    panels.draw(clips, files, "a caption", ["first", "second"])
    assert [path.name for path in files] == ["pictures.png", "pictures.gif", "pictures.mp4"]
    assert Image.open(files.gif).n_frames == 16
    with av.open(str(files.mp4)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 16
    wanted = panels.animate(clips, "a caption", ["first", "second"])
    assert np.abs(frames[7][:30, :200] - wanted[7][:30, :200].astype(float)).mean() < 6  # the header, black on white


@pytest.mark.parametrize("size", [(33, 51), (32, 50)])
def test_an_mp4_has_even_sides_the_pictures_colours_and_a_format_that_browsers_play(tmp_path, size):
    pictures = [np.full((*size, 3), colour, np.uint8) for colour in ((250, 10, 10), (10, 250, 10), (10, 10, 250))]
    path = moving.write_mp4(pictures, tmp_path / "a.mp4", 8)
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 8)
        assert (stream.height, stream.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
    for frame, picture in zip(frames, pictures, strict=True):
        assert np.abs(frame[8:24, 8:40].astype(int) - picture[8:24, 8:40]).max() < 12


def test_in_a_gif_what_stands_still_does_not_flicker_and_colours_are_near(tmp_path):
    """Noise with a square that moves over it, on a background of more than 256 colours."""
    still = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    pictures = [still.copy() for _ in range(6)]
    for number, picture in enumerate(pictures):
        picture[:8, 4 * number : 4 * number + 8] = (250, 10, 10)
    with Image.open(moving.write_gif(pictures, tmp_path / "a.gif", 8)) as gif:
        shown = []
        for number in range(gif.n_frames):
            gif.seek(number)
            shown.append(np.asarray(gif.convert("RGB"), float))
    assert len(shown) == 6
    assert all(np.array_equal(frame[8:], shown[0][8:]) for frame in shown)
    assert np.abs(np.stack(shown) - pictures).mean() < 16  # 256 colours are 6 apart along each axis of 43
    assert np.abs(shown[3][:8, 12:20] - (250, 10, 10)).max() < 20
