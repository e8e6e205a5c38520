"""Views of one video: their windows, speeds and crops, and batches of them from the loader."""

import dataclasses
import itertools

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import open_source, train_batches
from vidjax.data.clips.row_to_clips import LoadTrain
from vidjax.data.clips.ssl_views import load_views, view_indices
from vidjax.errors import ConfigError

SVT = DataConfig(num_frames=8, stride=32, global_views=(8, 8), local_views=(8,) * 8)


def draws(frames, data, count=200, fps=30.0):
    rng = np.random.default_rng(0)
    return [view_indices(frames, fps, data, rng) for _ in range(count)]


def test_windows_match_the_authors_decoder():
    """Global views spread 8 frames each over [0, 251] and [5, 256] of 256; local views in a random eighth."""
    for first, second, *local in draws(256, SVT):
        np.testing.assert_array_equal(first, np.linspace(0, 251, 8).astype(int))
        np.testing.assert_array_equal(second, np.minimum(np.linspace(5, 256, 8).astype(int), 255))
        for view in local:
            assert view[-1] - view[0] == 32 or view[-1] == 255
            assert len(view) == 8
    starts = {view[0] for _, _, *local in draws(256, SVT) for view in local}
    assert min(starts) == 0
    assert max(starts) == 223  # random.randint(0, 256 - 32 - 1), both ends included
    assert len(starts) > 200


@pytest.mark.parametrize(("fps", "decoded"), [(30.0, 256), (25.0, 213), (15.0, 128), (60.0, 512)])
def test_the_window_of_svt_is_in_seconds(fps, decoded):
    """datasets/decoder.py: `sampling_rate * num_frames / target_fps * fps` frames are decoded, max_len of them."""
    assert int(32 * 8 / 30 * fps) == decoded
    for first, second, *local in draws(decoded, dataclasses.replace(SVT, sampling="seconds"), 20, fps):
        np.testing.assert_array_equal(first, np.linspace(0, decoded - 5, 8).astype(int))
        np.testing.assert_array_equal(second, np.minimum(np.linspace(5, decoded, 8).astype(int), decoded - 1))
        assert all(view[-1] - view[0] <= decoded // 8 for view in local)
    longer = draws(5000, dataclasses.replace(SVT, sampling="seconds"), 50, fps)
    longest = max(view[-1] - view[0] for views in longer for view in views)
    assert longest == decoded - 5


def test_the_window_can_lie_anywhere_in_a_longer_video():
    starts = [first[0] for first, *_ in draws(1000, SVT)]
    assert min(starts) < 50
    assert max(starts) > 700
    assert max(view.max() for views in draws(1000, SVT) for view in views) <= 999


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 20, 255])
def test_a_short_video_gives_all_its_views(frames):
    for views in draws(frames, SVT, 20):
        assert [len(view) for view in views] == [8] * 10
        assert min(view.min() for view in views) >= 0
        assert max(view.max() for view in views) <= frames - 1
    if frames >= 20:
        (first, second, *_), *_ = draws(frames, SVT, 1)
        assert first[0] < second[0]  # a later window
        assert first[-1] < second[-1]


def test_views_of_fewer_frames_are_faster():
    data = dataclasses.replace(SVT, global_views=(4, 8), local_views=(2, 2, 4, 4, 8, 8, 16, 16))
    (slow_fast,) = draws(256, data, 1)
    assert [len(view) for view in slow_fast] == [4, 8, 2, 2, 4, 4, 8, 8, 16, 16]
    assert np.diff(slow_fast[0]).mean() > 2 * np.diff(slow_fast[1]).mean()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for number in range(6):
        path = root / f"train/c{number % 2}/{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(24, 48, 64, seed=number)))
    (root / "train/c0/0.mp4").write_bytes(b"")
    return DataConfig(
        root=str(root), num_frames=4, stride=5, image_size=32, local_size=16, global_views=(4, 2), local_views=(2, 3),
        crop_area=(0.4, 1.0), flip=0.5, color_jitter=(0.4, 0.4, 0.2, 0.1), grayscale=0.2, global_batch=2,
        clips_per_decode=2, local_span=0.3, eval_split="train",
    )  # fmt: skip


def take(data, count, **options):
    batches = train_batches(open_source(data, "train"), data, seed=3, **options)
    taken = [{key: np.array(value) for key, value in batch.items()} for batch in itertools.islice(batches, count)]
    batches.close()
    return taken


def test_batches_hold_one_array_per_view_and_replace_a_video_that_fails(data):
    shapes = {
        "view_0": (4, 4, 32, 32, 3), "view_1": (4, 2, 32, 32, 3),
        "view_2": (4, 2, 16, 16, 3), "view_3": (4, 3, 16, 16, 3),
    }  # fmt: skip
    batches = take(data, 6)
    for batch in batches:
        assert {key: batch[key].shape for key in batch if key.startswith("view")} == shapes
        assert {batch[key].dtype for key in shapes} == {np.dtype(np.uint8)}
        assert "video" not in batch
        assert batch["valid"].all()
    assert any((batch["failed"] >= 0).any() for batch in batches)
    assert data.views == {name: shape[1:] for name, shape in shapes.items()}


def test_clips_of_one_decode_differ_in_their_crops(data):
    (batch,) = take(data, 1)
    for name in data.views:
        assert not np.array_equal(batch[name][0], batch[name][1])
        assert batch["index"][0] == batch["index"][1]


@pytest.mark.parametrize("options", [{"start_step": 2}, {"process": (1, 2)}])
def test_views_are_the_same_resumed_and_on_any_number_of_processes(data, options):
    whole = take(data, 4)
    part = take(data, 2, **options)
    rows = slice(2, 4) if "process" in options else slice(None)
    for expected, found in zip(whole[options.get("start_step", 0) :][:2], part, strict=True):
        for name in data.views:
            np.testing.assert_array_equal(found[name], expected[name][rows])


def test_local_views_show_less_of_the_frame(data):
    """On an image of two ramps, the range of values shows how much of the frame was cropped."""
    down, right = np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 64), indexing="ij")
    frames = np.broadcast_to(np.stack([down, right, right], axis=-1).astype(np.uint8), (20, 64, 64, 3))
    row = type("Row", (), {"video": encode(np.ascontiguousarray(frames), options={"crf": "0"}, pix_fmt="yuv444p")})()
    plain = dataclasses.replace(
        data, color_jitter=(0.0,) * 4, grayscale=0.0, clips_per_decode=1, local_area=(0.05, 0.2)
    )
    rng = np.random.default_rng(0)
    for _ in range(20):
        views = load_views(row, plain, rng)
        area = {name: np.prod([np.ptp(view[0, ..., c]) / 255 for c in (0, 1)]) for name, view in views.items()}
        assert min(area["view_0"], area["view_1"]) > 0.3
        assert max(area["view_2"], area["view_3"]) < 0.25


def test_noise_has_the_shapes_of_views():
    data = DataConfig(
        name="synthetic", image_size=16, local_size=8, num_frames=2, global_views=(2, 2), local_views=(1,)
    )
    (batch,) = take(dataclasses.replace(data, global_batch=2), 1)
    assert {name: batch[name].shape[1:] for name in data.views} == data.views


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"global_views": (8,)}, "must hold the numbers of frames of two views"),
        ({"global_views": ()}, "must hold the numbers of frames of two views"),
        ({"local_views": (8, 0)}, "every view needs at least one frame"),
    ],
)
def test_invalid_views_are_refused_before_loading(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        LoadTrain(None, dataclasses.replace(SVT, **changes))
