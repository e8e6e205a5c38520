"""The server matches `vidjax predict --json` for concurrent clients, enforces limits and drains before it stops."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from random_runs import write_run
from saved_runs import make_config
from videos import encode, moving_texture

import vidjax
from vidjax.cli import main

pytest.importorskip("fastapi", reason="the server is FastAPI's (extra serve)", exc_type=ImportError)
pytest.importorskip("uvicorn", reason="uvicorn listens (extra serve)", exc_type=ImportError)

pytest.importorskip("flatbuffers", reason="jax.export writes with it; older environments lack it")

LABELS = ("a", "b", "c")
VIDEO = {"Content-Type": "video/mp4"}
OPTIONS = ("--port=0", "--max-mb=1", "--max-seconds=4", "--upload-seconds=4", "--queue=12")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = make_config(data__image_size=32, data__stride=2, eval__merge="mean_softmax", eval__clips=2)
    return str(write_run(tmp_path_factory.mktemp("runs") / "secret" / "model", config, 3, LABELS, scale=0.1))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("exported") / "model")
    assert main(["export", run, folder, "--format=stablehlo"]) == 0
    return folder


@pytest.fixture(scope="module")
def videos():
    """Bytes of eight different small videos."""
    return [encode(moving_texture(12, 40, 48, seed=seed), rate=8) for seed in range(8)]


@contextlib.contextmanager
def serving(source, *options):
    """Start the server as a user does; returns the process and its port."""
    words = [sys.executable, "-m", "vidjax.cli", "serve", source, *OPTIONS, *options]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/predict", line):
                yield process, int(found[1])
                return
        pytest.fail("".join(lines))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="module")
def port(exported):
    with serving(exported) as (_, port):
        yield port


def ask(port, method, path, body=None, headers=None):
    """Status, headers and text of one response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def post(port, video, path="/predict", **headers):
    """Status and JSON of the response to a raw body."""
    status, _, text = ask(port, "POST", path, video, VIDEO | headers)
    return status, json.loads(text)


def form(video, name):
    """Body and headers of a form with one file."""
    head = f'--x\r\nContent-Disposition: form-data; name="video"; filename="{name}"\r\n\r\n'.encode()
    return head + video + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def test_concurrent_clients_each_get_the_answer_of_predict(port, run, videos, tmp_path):
    model, expected = vidjax.from_pretrained(run), []
    for number, video in enumerate(videos):
        (tmp_path / f"{number}.mp4").write_bytes(video)
        expected.append(model.predict(tmp_path / f"{number}.mp4", top=3)["top"])
    assert expected[0] != expected[1]
    found = [None] * len(videos)

    def one(number):
        found[number] = post(port, videos[number])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(videos))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (status, answer), top in zip(found, expected, strict=True):
        assert (status, answer["video"]) == (200, "upload")
        assert [line["label"] for line in answer["top"]] == [line["label"] for line in top]
        np.testing.assert_allclose(
            [line["probability"] for line in answer["top"]], [line["probability"] for line in top], rtol=1e-5
        )


def test_a_form_names_the_video_by_its_base_name_only(port, videos):
    for name, shown in (("a.mp4", "a.mp4"), ("../../etc/passwd", "passwd"), ("..\\..\\x.mp4", "x.mp4"), ("", "upload")):
        status, _, text = ask(port, "POST", "/predict?top=1", *form(videos[0], name))
        assert (status, json.loads(text)["video"], len(json.loads(text)["top"])) == (200, shown, 1)


def test_a_video_that_repeats_frames_is_answered_with_a_note(port):
    status, answer = post(port, encode(moving_texture(3, 40, 48), rate=8))
    assert status == 200
    assert answer["notes"] == ["upload has 3 frames, but a clip spans 7; its last frame is repeated"]


BROKEN = {
    "nothing": (b"", "empty: "),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "not_video: "),
    "one_frame": (encode(moving_texture(1, 40, 48)), "not_video: upload is a single picture; give a video"),
    "cut": (encode(moving_texture(30, 40, 48))[:3000], "truncated: "),
    "long": (
        encode(moving_texture(40, 40, 48), rate=8),
        "the video has 5 seconds in 40 frames; the limit is 4 seconds",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_video_gives_a_message_without_paths(name, port):
    video, words = BROKEN[name]
    status, answer = post(port, video)
    assert status == 422
    assert words in answer["error"]
    assert "/" not in answer["error"]
    assert "Errno" not in answer["error"]


@pytest.mark.parametrize("kind", ["text/html", "application/json", "", "multipart/mixed; boundary=x"])
def test_other_content_types_are_refused(kind, port, videos):
    status, _, text = ask(port, "POST", "/predict", videos[0], {"Content-Type": kind})
    assert (status, "send video/mp4 or multipart/form-data" in text) == (415, True)


@pytest.mark.parametrize(("method", "path", "code"), [("GET", "/", 404), ("GET", "/predict", 405)])
def test_other_paths_and_methods_get_a_message_that_names_the_routes(method, path, code, port):
    status, headers, text = ask(port, method, path)
    assert status == code
    assert json.loads(text)["error"].startswith(f"{method} {path} is not served; POST a video to /predict")
    assert (headers["Allow"] == "POST") == (code == 405)


def test_forms_without_a_file_and_malformed_forms_are_refused(port):
    for body in (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n', b"no form at all", b""):
        status, _, text = ask(port, "POST", "/predict", body, form(b"", "")[1])
        assert (status, "form" in json.loads(text)["error"]) == (400, True)
    assert ask(port, "POST", "/predict?top=0", b"x", VIDEO)[0] == 400
    for top in ("many", "1000001", "9" * 5000):
        status, _, text = ask(port, "POST", f"/predict?top={top}", b"x", VIDEO)
        assert (status, "an integer from 1 to 1000000" in text) == (400, True)


@contextlib.contextmanager
def connected(port, head=""):
    """A socket that has sent the head of a request."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode())
        yield connection


def everything(connection):
    """Read until the server closes the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received.decode()


HEAD = "POST /predict HTTP/1.1\nHost: x\nContent-Type: video/mp4\n"


def test_a_body_declared_too_large_is_refused_before_it_is_sent(port):
    with connected(port, f"{HEAD}Content-Length: 10000000000\n\n") as connection:
        began = time.monotonic()
        text = everything(connection)
    assert text.startswith("HTTP/1.1 413")
    assert "the body is larger than 1 MiB; send a smaller file" in text
    assert time.monotonic() - began < 3


def test_a_body_of_unknown_length_is_read_only_up_to_the_limit(port):
    with connected(port, f"{HEAD}Transfer-Encoding: chunked\n\n") as connection:
        for _ in range(11):
            connection.sendall(b"186a0\r\n" + bytes(100_000) + b"\r\n")
        text = everything(connection)
    assert text.startswith("HTTP/1.1 413")
    body, headers = form(bytes(2**20 + 1), "a.mp4")
    assert ask(port, "POST", "/predict", body, headers)[0] == 413


def test_slow_clients_time_out(port, videos):
    with connected(port, f"{HEAD}Content-Length: 1000\n\nabc") as slow_body, connected(port, HEAD) as slow_head:
        assert post(port, videos[0])[0] == 200  # other clients are still answered
        began = time.monotonic()
        assert "408" in (text := everything(slow_body)).splitlines()[0]
        assert "was not sent within 4 seconds" in text
        assert everything(slow_head) == ""
        assert time.monotonic() - began < 15


def test_a_full_queue_refuses_clients_until_there_is_room(port, videos):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(port, f"{HEAD}Content-Length: 9\n\n")) for _ in range(12)]
        while "in_flight 12.0" not in (found := ask(port, "GET", "/metrics")[2]):
            assert "in_flight" in found
        status, headers, text = ask(port, "POST", "/predict", videos[0], VIDEO)
        assert (status, "try again later" in text) == (503, True)
        assert int(headers["Retry-After"]) >= 1
        for connection in held:
            connection.sendall(b"no video!")
        assert all(everything_of_one(connection).startswith("HTTP/1.1 422") for connection in held)
    assert post(port, videos[0])[0] == 200


def everything_of_one(connection):
    return connection.recv(65536).decode()


def test_health_and_metrics(port, videos):
    before = ask(port, "GET", "/metrics")[2]
    assert post(port, videos[0])[0] == 200
    status, _, text = ask(port, "GET", "/health")
    assert (status, json.loads(text)) == (200, {"status": "ready", "model": "model"})
    after = ask(port, "GET", "/metrics")[2]
    counted = [float(re.search(r'vidjax_requests_total\{status="200"\} (\S+)', text)[1]) for text in (before, after)]
    assert counted[1] == counted[0] + 1
    assert re.search(r"vidjax_batch_clips_sum [1-9]", after)


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements(port):
    """Linux delays them by 40 ms, except for the first packets; the fastest answer tells even on a busy machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    seconds = []
    for _ in range(40):
        began = time.monotonic()
        connection.request("GET", "/metrics")
        connection.getresponse().read()
        seconds.append(time.monotonic() - began)
    connection.close()
    assert min(seconds[20:]) < 0.03


def test_accepted_requests_are_answered_after_a_stop_signal(run, videos):
    """Six clients send without pause. After SIGTERM, new connections are refused but no request is cut off."""
    answered, broken, refused = [], [], []

    def client(number):
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.connect()
            except ConnectionRefusedError:
                refused.append(number)
                return
            try:
                connection.request("POST", "/predict", videos[number], VIDEO)
                answered.append(connection.getresponse().status)
            except OSError as error:
                broken.append(error)
            finally:
                connection.close()

    with serving(run) as (process, port):
        threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        while len(answered) < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert "all accepted requests were answered" in process.stderr.read()
    assert broken == []
    assert set(answered) == {200}
    assert len(refused) == 6


def test_mistakes_at_the_start_give_a_message(run, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert main(["serve", run, f"--port={number}"]) == 2
    said = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{number}" in said
    assert "give another --port" in said
    assert main(["serve", run, "--port=0", "--max-batch=6"]) == 2
    assert "--max-batch=6 must be a power of two" in capsys.readouterr().err
    assert main(["serve", run, "--port=0", "--queue=0"]) == 2
    assert "queue=0 must be above 0" in capsys.readouterr().err


def test_a_damaged_folder_gives_a_message(exported, tmp_path, capsys):
    import shutil

    for name, content in (
        ("preprocessing.json", b"{}"),
        ("model.jaxexport", b"no graph"),
        ("weights.safetensors", b""),
    ):
        folder = shutil.copytree(exported, tmp_path / name)
        (folder / name).write_bytes(content)
        assert main(["serve", str(folder), "--port=0"]) == 2
        assert "export the model again" in capsys.readouterr().err
