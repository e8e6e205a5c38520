"""The text on the page of `vidjax demo`: how much of a video a model saw, the timeline, names and bars."""

import re
import threading

import pytest

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.video.decode import VideoInfo
from vidjax.demo import parts, seen, timeline
from vidjax.demo.models import names_of
from vidjax.demo.work import watched


def info(seconds, fps=25):
    return VideoInfo(frames=round(seconds * fps), fps=fps, height=48, width=64, duration=seconds)


@pytest.mark.parametrize(
    ("recipe", "seconds", "sentence"),
    [
        (
            {"stride": 4},
            300,
            "The model saw 2.4 s of 300.0 s: 1 clip of 16 frames (every 4th frame of the video), from the middle.",
        ),
        (
            {"stride": 4, "clips": 5},
            300,
            "The model saw 12.2 s of 300.0 s: 5 clips of 16 frames (every 4th frame of the video).",
        ),
        ({"stride": 4, "clips": 5}, 4, "The model saw all 4.0 s: 5 clips of 16 frames (every 4th frame of the video)."),
        ({"stride": 1}, 0.6, "The model saw all 0.6 s: 1 clip of 16 frames in a row."),
        ({"sampling": "segment"}, 300, "The model saw 16 single frames, spread over all 300.0 s."),
        ({"sampling": "segment", "clips": 2}, 300, "The model saw 2 times 16 single frames, spread over all 300.0 s."),
    ],
)
def test_the_page_states_how_much_was_seen(recipe, seconds, sentence):
    """16 frames, every 4th, span 61 frames, which are 2.44 s at 25 frames per second."""
    assert seen.sentence(ClipRecipe(**recipe), info(seconds)) == sentence


@pytest.mark.parametrize(
    ("seconds", "count", "spread"), [(5.0, None, None), (5.12, 3, None), (25.6, 19, 5), (300.0, 48, 48)]
)  # a clip is taken from 64 frames, which are 2.56 s, or spread over 10 s
def test_a_long_video_has_windows_that_overlap_by_half_up_to_48(seconds, count, spread):
    dense, segment = (timeline.windows_for(ClipRecipe(sampling=name), info(seconds)) for name in ("dense", "segment"))
    assert (dense and (dense.count, dense.length)) == (count and (count, 0.0))
    assert (segment and segment.count) == spread
    assert segment is None or segment.length == 10.0


def window(start, end, **top):
    return {"start": start, "end": end, "top": [{"label": name, "probability": share} for name, share in top.items()]}


def test_the_timeline_has_a_button_per_window_with_its_start():
    windows = [window(0, 2, left=0.7, up=0.3), window(1, 3, up=0.8, left=0.2), window(2, 4, up=1.0, left=0.0)]
    drawn = timeline.draw(windows, info(4))
    buttons = re.findall(r'<button[^>]*flex-grow:([\d.]+)" data-start="([\d.]+)"[^>]*aria-label="([^"]*)"', drawn)
    assert buttons == [
        ("1.500", "0.000", "0.0 - 2.0 s: left 70%, up 30%"),
        ("1.000", "1.000", "1.0 - 3.0 s: up 80%, left 20%"),
        ("1.500", "2.000", "2.0 - 4.0 s: up 100%, left 0%"),
    ]
    names = re.findall(r'<span class="vj-lane-(\d)"[^>]*>(\w+)', drawn)
    assert names == [("0", "up"), ("1", "left")]  # best of two, of one


@pytest.mark.parametrize(
    ("seconds", "times"),
    [
        (10, ["0.0 s", "2.0 s", "4.0 s", "6.0 s", "8.0 s", "10.0 s"]),
        (150, ["0:00", "0:30", "1:00", "1:30", "2:00", "2:30"]),
        (7200, ["0:00", "24:00", "48:00", "1:12:00", "1:36:00", "2:00:00"]),
    ],
)
def test_the_times_below_a_timeline_are_those_of_a_player(seconds, times):
    drawn = timeline.draw([window(0, 2, left=1.0), window(seconds - 2, seconds, left=1.0)], info(seconds))
    assert re.findall(r"<span>([^<]*)</span>", drawn) == times


def numbers(start, end, **values):
    return {"start": start, "end": end, "values": [{"name": name, "value": value} for name, value in values.items()]}


def test_regression_values_are_curves_on_one_scale_over_buttons():
    """The middles are at 1/4, 1/2 and 3/4; -0.5 is the bottom, 1 the top, and 0 two thirds of the way down."""
    windows = [
        numbers(0, 2, valence=1.0, arousal=0.25),
        numbers(1, 3, valence=0.0, arousal=0.25),
        numbers(2, 4, valence=-0.5, arousal=0.25),
    ]
    drawn = timeline.draw(windows, info(4))
    top, bottom = 1, timeline._TALL - 1
    valence, arousal = re.findall(r'<polyline class="vj-lane-(\d)" points="([^"]*)"', drawn)
    points = [tuple(map(float, point.split(","))) for point in valence[1].split()]
    zero = float(re.search(r'y1="([\d.]+)"', drawn)[1])
    assert points == [(25, top), (50, zero), (75, bottom)]
    assert zero == pytest.approx(top + (bottom - top) * 2 / 3, abs=0.01)
    assert len({point.split(",")[1] for point in arousal[1].split()}) == 1
    assert re.findall(r'<span class="vj-lane-(\d)"[^>]*>(\w+)', drawn) == [("0", "valence"), ("1", "arousal")]
    assert "-0.50 to +1.00" in drawn
    buttons = re.findall(r'data-start="([\d.]+)"[^>]*aria-label="([^"]*)"', drawn)
    assert buttons[1] == ("1.000", "1.0 - 3.0 s: valence +0.000, arousal +0.250")


def test_a_regression_that_is_zero_throughout_is_a_line():
    drawn = timeline.draw([numbers(0, 2, valence=0.0), numbers(1, 3, valence=0.0)], info(3))
    assert "nan" not in drawn
    assert "+0.00 to +0.00" in drawn


def test_gaps_between_windows_are_stated():
    assert timeline.gaps([window(0, 2), window(2, 4)], info(4)) == ""
    told = timeline.gaps([window(0, 2), window(148, 150), window(298, 300)], info(300))
    assert told == "The timeline has 3 windows of 2.0 s, 100.0 s apart: it does not cover the video between them."


def test_text_from_strangers_is_escaped():
    evil = "<script>alert('x')</script>\x1b\"&"
    for drawn in (
        parts.bars([{"label": evil, "probability": 0.5}]),
        parts.notes([evil]),
        parts.numbers([{"name": evil, "value": 1.0}]),
        timeline.draw([window(0, 2, **{evil: 1.0})], info(2)),
        timeline.draw([numbers(0, 2, **{evil: 1.0})], info(2)),
    ):
        assert "<script" not in drawn
        assert "\x1b" not in drawn
        assert "&lt;script&gt;" in drawn


def test_models_are_named_by_the_shortest_unique_end_of_their_path():
    assert names_of(["/home/me/runs/finetune", "MCG-NJU/videomae-base"]) == ["finetune", "MCG-NJU/videomae-base"]
    assert names_of(["/home/me/a/best", "/home/me/b/best", "/x/c"]) == ["a/best", "b/best", "c"]


def test_a_bar_moves_during_work_and_errors_reach_the_caller(monkeypatch):
    monkeypatch.setattr("vidjax.demo.work._PATIENCE", 0.01)
    monkeypatch.setattr("vidjax.demo.work._EVERY", 0.01)
    told, enough = [], threading.Event()

    def tell(share, words):
        told.append((share, words))
        if len(told) == 3:
            enough.set()

    def work(advance):
        advance(0.5)
        assert enough.wait(20)
        return "done"

    assert watched(tell, "compiling", work) == "done"
    assert all(0.5 <= share <= 1 and words.startswith("compiling, ") for share, words in told)
    with pytest.raises(ZeroDivisionError):
        watched(tell, "failing", lambda advance: 1 / 0)
