"""Long work shows its progress, also in a file or a pipe."""

import time

from vidjax import progress


def test_without_a_terminal_lines_say_how_much_how_fast_and_how_long(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_PATIENCE", 0.01)
    monkeypatch.setattr(progress, "_SILENCE", 0.2)
    with progress.progress("embedding", 50) as advance:
        advance(20)
        advance()
        time.sleep(0.35)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "embedding ..."
    assert second.startswith("embedding: 21 of 50 videos, ")
    assert second.endswith(" videos/s, 0:00:00 left")


def test_the_time_left_follows_from_what_is_done():
    assert progress._words("embedding", 10, 40, "videos", 20.0) == (
        "embedding: 10 of 40 videos, 0.5 videos/s, 0:01:00 left"
    )
    assert progress._words("embedding", 0, 40, "videos", 20.0) == "embedding: 0 of 40 videos"


def test_quick_work_prints_nothing(capsys):
    with progress.progress("embedding", 3) as advance:
        advance(3)
    assert capsys.readouterr().err == ""
