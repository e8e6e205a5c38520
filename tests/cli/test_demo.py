"""`vidjax demo` answers on its page what `vidjax predict` prints, within limits; a public page has a password."""

import io
import json
import pathlib
import pty
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from videos import encode, moving_texture

from vidjax.cli import main
from vidjax.cli.verbs import demo
from vidjax.errors import VideoError

WORD = "a password of many characters"


def gradio_or_skip():
    return pytest.importorskip("gradio", reason="the page is gradio's (extra demo)", exc_type=ImportError)


def test_without_gradio_it_says_what_to_install(classifier, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--model", classifier]) == 2
    assert capsys.readouterr().err == "vidjax: vidjax demo needs gradio; pip install 'vidjax[demo]'\n"


def test_without_a_model_there_is_nothing_to_show(capsys):
    assert main(["demo"]) == 2
    assert "needs --model SOURCE, --captioner RUN, or both" in capsys.readouterr().err


def test_the_page_gives_the_classes_that_predict_prints(classifier, videos, capsys):
    gradio_or_skip()
    page = demo.build_page(classifier, None)
    assert main(["predict", videos[0], "--model", classifier, "--json"]) == 0
    [expected] = json.loads(capsys.readouterr().out)
    assert page.fn(videos[0]) == {line["label"]: line["probability"] for line in expected["top"]}


def test_a_file_that_is_no_video_is_told_on_the_page(classifier, tmp_path):
    gradio = gradio_or_skip()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    page = demo.build_page(classifier, None)
    for upload, told in ((None, "upload a video first"), (str(broken), "broken.mp4")):
        with pytest.raises(gradio.Error, match=told):
            page.fn(upload)


def test_an_autoencoder_has_no_page(autoencoder, capsys):
    gradio_or_skip()
    assert main(["demo", "--model", autoencoder]) == 2
    assert "knows no classes" in capsys.readouterr().err


class Page:
    """A page that is not served, but says how it would be."""

    def queue(self, **options):
        self.queued = options

    def launch(self, **options):
        self.launched = options


@pytest.fixture
def page(monkeypatch):
    page = Page()
    monkeypatch.setattr(demo, "build_page", lambda source, captioner, limits: page)
    monkeypatch.delenv(demo.PASSWORD, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    return page


def test_a_public_page_is_refused_without_a_password(page, monkeypatch, capsys):
    assert main(["demo", "--model", "x", "--share"]) == 2
    assert "needs a password: set VIDJAX_DEMO_PASSWORD" in capsys.readouterr().err
    for short in ("", "elevenchars"):
        monkeypatch.setenv(demo.PASSWORD, short)
        assert main(["demo", "--model", "x", "--share"]) == 2
        assert f"a password of {len(short)} characters is too short; use at least 12" in capsys.readouterr().err
    assert not hasattr(page, "launched")


def test_a_public_page_has_the_password_of_the_environment(page, monkeypatch):
    monkeypatch.setenv(demo.PASSWORD, WORD)
    assert main(["demo", "--model", "x", "--share"]) == 0
    assert page.launched["share"] is True
    assert page.launched["auth"] == ("demo", WORD)


def test_the_password_is_asked_for_at_a_terminal_and_not_shown():
    """In a terminal of its own, as getpass reads from that."""
    script = "from vidjax.cli.verbs.demo import ask_password; print(len(ask_password()))"
    ours, theirs = pty.openpty()
    with open(ours, "r+b", buffering=0) as terminal:
        asking = subprocess.Popen(
            [sys.executable, "-c", script], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        shown = b""
        while b"characters: " not in shown:
            shown += terminal.read(100)
        terminal.write(WORD.encode() + b"\n")
        assert asking.wait(60) == 0
        shown += terminal.read(1000)
    assert str(len(WORD)).encode() in shown
    assert WORD.encode() not in shown


def test_every_page_has_limits_and_is_served_to_this_machine(page, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SHARE", "True")
    assert main(["demo", "--model", "x", "--max-mb", "5"]) == 0
    assert page.launched.items() >= {"server_name": "127.0.0.1", "share": False, "max_file_size": 5 * 10**6}.items()
    assert page.queued == {"max_size": 16, "default_concurrency_limit": 1, "api_open": False}


@pytest.mark.parametrize("words", [("--max-mb", "0"), ("--max-seconds", "-1")])
def test_a_limit_cannot_be_taken_away(words, page, capsys):
    assert main(["demo", "--model", "x", *words]) == 2
    assert "must be at least 1" in capsys.readouterr().err


def test_a_video_over_a_limit_is_not_answered(tmp_path, monkeypatch):
    path = tmp_path / "video.mp4"
    path.write_bytes(encode(moving_texture(50, 32, 48), rate=25))
    demo.Limits(seconds=2).check(str(path))
    with pytest.raises(VideoError, match="the video has 2 seconds in 50 frames; 1 seconds are answered"):
        demo.Limits(seconds=1).check(str(path))
    monkeypatch.setattr(demo, "_FASTEST", 24)
    with pytest.raises(VideoError, match="in 50 frames"):
        demo.Limits(seconds=2).check(str(path))
    monkeypatch.setattr(demo, "_PIXELS", 32 * 48 - 1)
    with pytest.raises(VideoError, match="frames of 48 x 32 are over"):
        demo.Limits(seconds=20).check(str(path))
    with path.open("ab") as file:
        file.truncate(10**6 + 1)
    with pytest.raises(VideoError, match="over 1 MB"):
        demo.Limits(megabytes=1).check(str(path))


def test_a_served_page_keeps_strangers_and_large_files_out(tmp_path, monkeypatch):
    gradio = gradio_or_skip()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    served = gradio.Interface(lambda path: path, "text", "text", flagging_mode="never", analytics_enabled=False)
    launch = served.launch
    monkeypatch.setattr(
        served, "launch", lambda **options: launch(**options | {"share": False}, prevent_thread_lock=True)
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    demo.serve(served, demo.Limits(megabytes=1), port, WORD)
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def code(path, form="", files=()):
        parts = "".join(
            f'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n{f}\r\n' for f in files
        )
        body = (form or parts + "--x--\r\n").encode()
        kind = "application/x-www-form-urlencoded" if form else "multipart/form-data; boundary=x"
        request = urllib.request.Request(served.local_url + path, body, {"Content-Type": kind})
        try:
            return opener.open(request, timeout=30).status
        except urllib.error.HTTPError as error:
            return error.code

    try:
        assert code("gradio_api/upload", files=["small"]) == 401
        assert code("login", "username=demo&password=wrong") == 400
        assert code("gradio_api/upload", files=["small"]) == 401
        assert code("login", f"username=demo&password={WORD.replace(' ', '+')}") == 200
        assert code("gradio_api/upload", files=["small"]) == 200
        assert code("gradio_api/upload", files=["x" * (10**6 + 1)]) == 413
        assert max(path.stat().st_size for path in pathlib.Path(tmp_path).rglob("*")) < 10**5
    finally:
        served.close()
