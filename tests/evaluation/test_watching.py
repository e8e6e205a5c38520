"""A long window of a live stream needs little memory, and its answers are about the right frames."""

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
from colours import COLOURS, RECIPE, colour_model, write_colours
from live_server import LiveServer, schedule

from vidjax.data.video.live_source import find_source
from vidjax.data.video.live_video import LiveVideo
from vidjax.evaluation.watching import Watch, window_of
from vidjax.weights.clip_recipes import RecipeChanges
from vidjax.weights.predictors import make_predictor

FPS, SIDE, FRAMES = 5, 64, 4
STRETCHES = [("red", 150), ("green", 90), ("blue", 200), ("red", 60), ("green", 130), ("blue", 60)]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Eleven and a half minutes of video, sent as fast as it is read."""
    path = write_colours(tmp_path_factory.mktemp("live") / "long.ts", STRETCHES, fps=FPS)
    return [(0.0, piece) for _, piece in schedule(path)]


def colour_at(seconds):
    ends = list(itertools.accumulate(length for _, length in STRETCHES))
    return STRETCHES[int(np.searchsorted(ends, seconds, side="right"))][0]


def test_a_window_of_ten_minutes_keeps_a_bounded_number_of_frames(pieces):
    """All of its frames would take 3000 * 64 * 64 * 3 bytes, 37 MB; 32 for each of the clip's 4 frames take 1.6 MB."""
    recipe = dataclasses.replace(RECIPE, num_frames=FRAMES, image_size=SIDE, sampling="segment", merge="mean")
    predictor = make_predictor(colour_model("values", recipe=recipe), RecipeChanges(window=600.0))
    watch, most = Watch(predictor, every=1.0), 0
    tracemalloc.start()
    try:
        with LiveServer(pieces) as server, LiveVideo(find_source(server.address), watch.prepare, 10.0) as video:
            found = []
            for moment in watch.moments(video):
                found.append(moment)
                most = max(most, len(video.wait(0.0)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert watch.window == 600
    assert 32 * FRAMES <= most <= 32 * FRAMES + 4
    assert peak < 12e6

    apart, checked = 600 / (32 * FRAMES), 0
    _, offsets = window_of(predictor.recipe, FPS)
    for moment in found:
        times = moment.start + offsets
        names = [[colour_at(time + shift) for shift in (-apart / 2 - 0.3, 0, apart / 2 + 0.3)] for time in times]
        if any(len(set(near)) > 1 for near in names):
            continue  # at the edge of a stretch
        wanted = np.mean([COLOURS[near[0]] for near in names], axis=0)[[0, 2]] / 255
        # write_colours lays a ramp over the colours, and the coding loses a little
        np.testing.assert_allclose(moment.scores, wanted, atol=0.09)
        checked += 1
    assert checked >= 1


def test_a_window_of_seconds_keeps_every_frame(pieces):
    recipe = dataclasses.replace(RECIPE, sampling="segment")
    predictor = make_predictor(colour_model(recipe=recipe), RecipeChanges(window=20.0))
    watch = Watch(predictor, every=5.0)
    with LiveServer(pieces[: 60 * FPS]) as server, LiveVideo(find_source(server.address), watch.prepare, 10.0) as video:
        kept = [[frame.seconds for frame in video.wait(0.0)] for _ in watch.moments(video)]
    assert max(map(len, kept)) >= 20 * FPS
    for times in kept[1:]:
        np.testing.assert_allclose(np.diff(times[-20 * FPS :]), 1 / FPS, atol=1e-3)
