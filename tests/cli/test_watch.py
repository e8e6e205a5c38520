"""`vidjax watch` classifies streams of known colours in real time, ends as documented, and opens nothing else."""

import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from colours import Colours, colour_model, write_colours
from live_server import LiveServer, schedule

from vidjax.cli import load_model, main
from vidjax.data.video.live_source import find_source
from vidjax.errors import ConfigError

HELPERS = pathlib.Path(__file__).parents[1] / "helpers"
WINDOW = 0.7  # seconds: 4 frames, every 2nd, at 10 frames a second


@pytest.fixture(autouse=True)
def model(monkeypatch):
    monkeypatch.setattr(load_model, "load", lambda source: colour_model())


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Three seconds of red, two of blue, ten frames a second."""
    return schedule(write_colours(tmp_path_factory.mktemp("live") / "a.ts", [("red", 3), ("blue", 2)]))


def watch(address, *options, code=0):
    return main(["watch", address, "--model", "colours", *options]) == code


def told(capsys):
    """The answers, and the summary."""
    *answers, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return answers, last["summary"]


@pytest.mark.parametrize("kind", ["tcp", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("http", "rtsp"))])
def test_a_stream_is_answered_while_it_comes(kind, pieces, capsys):
    with LiveServer(pieces, kind) as server:
        assert watch(server.address, "--every", "0.5", "--json")
    answers, summary = told(capsys)
    assert summary["answers"] == len(answers) >= 5
    for answer in answers:
        assert set(answer) == {"start", "end", "top", "latency"}
        assert answer["end"] - answer["start"] == pytest.approx(0.6, abs=0.01)
        if answer["end"] < 2.7:
            assert answer["top"][0]["label"] == "red"
        if answer["start"] > 3.3:
            assert answer["top"][0]["label"] == "blue"
    assert answers[0]["top"][0]["label"] == "red"
    assert answers[-1]["top"][0]["label"] == "blue"
    assert all(two["end"] - one["end"] > 0.3 for one, two in itertools.pairwise(answers[1:]))  # a busy machine skips


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_answers_are_a_window_and_less_than_a_second_late_and_a_signal_ends_with_a_summary(number, code, tmp_path):
    """Measured from outside: a line that ends at s was sent at s, and is read a second later at most."""
    pieces = schedule(write_colours(tmp_path / "long.ts", [("red", 60)]))
    command = [sys.executable, str(HELPERS / "watch_colours.py"), "watch"]
    with LiveServer(pieces) as server:
        options = [server.address, "--model", "colours", "--every", "0.25", "--json"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            read = []
            while len(read) < 24:
                read.append((json.loads(process.stdout.readline()), time.time()))
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
    assert process.returncode == code
    late = [at - server.began - answer["start"] for answer, at in read]
    assert np.quantile(late, 0.95) < WINDOW + 1
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert summary["answers"] >= 24
    assert summary["p95_latency"] == pytest.approx(np.quantile(late, 0.95), abs=0.5)
    assert "p95" in err
    assert "vidjax: stopped" in err
    assert "Traceback" not in err


def test_a_slow_model_skips_answers_and_the_others_are_not_late(pieces, capsys, monkeypatch):
    class Slow(Colours):
        def scores(self, params, clips):
            wait = jax.pure_callback(lambda: time.sleep(0.8) or np.float32(0), jax.ShapeDtypeStruct((), np.float32))
            return super().scores(params, clips) + wait

    slow = colour_model()
    slow.objective = Slow()
    monkeypatch.setattr(load_model, "load", lambda source: slow)
    with LiveServer(pieces) as server:
        assert watch(server.address, "--every", "0.2", "--json")
    answers, summary = told(capsys)
    assert summary["skipped"] >= 10
    assert len(answers) <= 7
    assert summary["p95_latency"] < WINDOW + 1.6  # not 5 s, as if they had queued


def test_a_line_for_people_names_the_time_and_the_classes(pieces, capsys):
    with LiveServer(pieces) as server:
        assert watch(server.address, "--top", "2")
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert re.match(r"00:00:0[01]  100% red  +0% ", lines[0])
    assert lines[-1].split()[1:3] == ["100%", "blue"]
    assert "frames of 96 x 64, 0 dropped as late" in shown.err
    assert "latency from the first frame of a window (0.70 s) to its answer: median" in shown.err


def test_it_stops_after_so_many_seconds(pieces, capsys):
    with LiveServer(pieces) as server:
        begun = time.monotonic()
        assert watch(server.address, "--seconds", "1.5", "--every", "0.5", "--json")
        assert time.monotonic() - begun < 4.5
    assert 2 <= told(capsys)[1]["answers"] <= 5


def test_it_stops_in_time_although_no_window_is_full(pieces, capsys):
    with LiveServer(pieces, stay_silent=30) as server:
        begun = time.monotonic()
        assert watch(server.address, "--seconds", "1", "--window", "4", "--timeout", "30", "--every", "0.5", code=2)
        assert time.monotonic() - begun < 12  # not 30
    assert "never filled a window of 4 s" in capsys.readouterr().err


def test_a_file_is_watched_while_it_grows_and_ends_when_it_has_not_grown_for_a_while(pieces, tmp_path, capsys):
    path = tmp_path / "recording.ts"
    path.touch()

    def record():
        begun = time.monotonic()
        with path.open("ab", buffering=0) as file:
            for at, piece in pieces:
                time.sleep(max(0.0, at - (time.monotonic() - begun)))
                file.write(piece)

    recorder = threading.Thread(target=record)
    recorder.start()
    begun = time.monotonic()
    assert watch(str(path), "--every", "0.5", "--timeout", "1.5", "--json")
    recorder.join()
    assert 5.5 < time.monotonic() - begun < 15
    answers, summary = told(capsys)
    assert summary["frames"] == 50
    assert [answer["top"][0]["label"] for answer in (answers[0], answers[-1])] == ["red", "blue"]


def test_a_stream_that_ends_in_mid_frame_ends_with_what_was_whole(pieces, capsys):
    cut = [*pieces[:30], (3.0, pieces[30][1][:200])]
    with LiveServer(cut) as server:
        assert watch(server.address, "--every", "0.5", "--json")
    answers, summary = told(capsys)
    assert summary["frames"] >= 28
    assert {answer["top"][0]["label"] for answer in answers} == {"red"}


def test_damage_is_counted_and_does_not_end_it(pieces, capsys):
    broken = [(at, b"\xff" * len(piece) if number in (12, 13) else piece) for number, (at, piece) in enumerate(pieces)]
    with LiveServer(broken) as server:
        assert watch(server.address, "--every", "0.5", "--json")
    answers, _ = told(capsys)
    assert answers[-1]["top"][0]["label"] == "blue"


def test_frames_may_change_their_size_and_the_clock_may_jump(pieces, tmp_path, capsys):
    other = schedule(write_colours(tmp_path / "b.ts", [("green", 2)], size=(96, 64)))
    joined = [*pieces[:20], *((at + 2.0, piece) for at, piece in other)]
    with LiveServer(joined) as server:
        assert watch(server.address, "--every", "0.5", "--json")
    shown = capsys.readouterr()
    assert "the frame size changes from 96 x 64 to 64 x 96" in shown.err
    answers = [json.loads(line) for line in shown.out.splitlines()][:-1]
    assert [answer["top"][0]["label"] for answer in (answers[0], answers[-1])] == ["red", "green"]
    assert 2.9 < answers[-1]["end"] < 4.1


@pytest.mark.slow
def test_a_sender_that_has_paused_is_late_for_a_while_only(pieces, capsys, monkeypatch):
    """Otherwise everything it sends from then on would be dropped as late."""
    monkeypatch.setattr("vidjax.data.video.live_video._MEMORY", 0.5)
    paused = [*pieces[:20], *((at + 1.5, piece) for at, piece in pieces[20:])]
    with LiveServer(paused) as server:
        assert watch(server.address, "--every", "0.5", "--json")
    answers, summary = told(capsys)
    assert 5 <= summary["dropped"] <= 15
    assert answers[-1]["top"][0]["label"] == "blue"


def test_a_silent_source_times_out_with_exit_code_4(pieces, capsys):
    with LiveServer([], stay_silent=30) as server:
        assert watch(server.address, "--timeout", "1", code=4)
    assert "has sent nothing for 1 s" in capsys.readouterr().err
    with LiveServer(pieces[:20], stay_silent=30) as server:
        assert watch(server.address, "--timeout", "1", "--every", "0.5", "--json", code=4)
    shown = capsys.readouterr()
    assert "--timeout" in shown.err
    assert json.loads(shown.out.splitlines()[-1])["summary"]["answers"] >= 1


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("rtsp://no-such-host.invalid/x", "host 'no-such-host.invalid' was not found"),
        (
            "http://me:secret@no-such-host.invalid/x",
            "http://no-such-host.invalid/x: host 'no-such-host.invalid' was not found",
        ),
        ("tcp://127.0.0.1:PORT", "cannot be read: Connection refused"),
        ("http://127.0.0.1/live.m3u8", "is a playlist, which vidjax does not follow"),
        ("udp://127.0.0.1:9", "does not open udp:// addresses"),
        ("file:///etc/passwd", "does not open file:// addresses"),
        ("concat://a", "does not open concat:// addresses"),
        ("http://me:secret@[::1/x", "the address of this http:// stream is malformed"),
        ("http:///x", "has no host name"),
        ("gone.ts", "gone.ts cannot be found"),
        ("/dev/zero", "is neither a camera nor a file"),
    ],
)
def test_an_invalid_source_gives_one_message(address, sentence, capsys):
    assert watch(address.replace("PORT", str(free_port())), "--timeout", "5", code=2)
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert "secret" not in shown.err + shown.out
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (b"HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\n", "404 Not Found"),
        (b"HTTP/1.0 302 Found\r\nLocation: file:///etc/hostname\r\nConnection: close\r\n\r\n", "is not in a format"),
        (b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n<html>no video</html>", "ended before a video began"),
        (
            b"HTTP/1.0 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nConnection: close\r\n\r\n"
            b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
            "is not in a format that vidjax reads",
        ),
    ],
)
def test_a_response_that_is_not_a_stream_gives_one_message(head, sentence, capsys):
    with LiveServer([], "http", head=head) as server:
        assert watch(server.address.replace("://", "://me:secret@"), "--timeout", "5", code=2)
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert "secret" not in shown.err


def test_a_stream_shorter_than_a_window_says_so(pieces, capsys):
    with LiveServer(pieces[:8]) as server:
        assert watch(server.address, "--window", "3", code=2)
    assert (
        "8 frames arrived, which never filled a window of 3 s; shorten it with --window or" in capsys.readouterr().err
    )


def test_each_kind_of_address_opens_its_own_protocols_only():
    """docs/security.md has this table."""
    from vidjax.data.video.live_source import PROTOCOLS

    web = "http,https,tls,tcp"
    assert {"http": web, "https": web, "tcp": "tcp", "rtsp": "tcp", "rtsps": "tls,tcp"} == PROTOCOLS
    page = (pathlib.Path(__file__).parents[2] / "docs" / "security.md").read_text()
    for scheme, protocols in PROTOCOLS.items():
        assert f"`{scheme}://`" in page
        assert f"`{protocols}`" in page
    with pytest.raises(ConfigError, match="does not open pipe:// addresses"):
        find_source("pipe://0")


@pytest.mark.parametrize("option", ["--every=0", "--window=-1", "--timeout=inf", "--seconds=nan", "--top=0"])
def test_invalid_options_are_rejected(option, capsys, tmp_path):
    assert watch(str(tmp_path), option, code=2)
    assert f"{option} must be" in capsys.readouterr().err
