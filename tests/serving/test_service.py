"""The server reports failing devices and cut-off requests and frees their places; no video is written to disk."""

import asyncio
import json
import tempfile
import threading

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.weights.preprocessing import Preprocessing

pytest.importorskip("fastapi", reason="the server is FastAPI's (extra serve)", exc_type=ImportError)

from fastapi import Request

from vidjax.serving.app import Service
from vidjax.serving.limits import Limits
from vidjax.serving.model import ServedModel
from vidjax.serving.uploads import Refused, receive_video

ABOUT = Preprocessing(ClipRecipe(num_frames=4, stride=1, image_size=32), "classes", "softmax", 0, ("a", "b"))
VIDEO = encode(moving_texture(8, 40, 48))
FORM = "multipart/form-data; boundary=x"
HEAD = b'--x\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'


class Device:
    """A model that returns the same two logits for every clip, can be told to fail, and blocks until released."""

    def __init__(self):
        self.fails, self.may_answer, self.begun = False, threading.Event(), threading.Event()
        self.may_answer.set()

    def __call__(self, clips):
        self.begun.set()
        assert self.may_answer.wait(60)
        if self.fails:
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return np.tile(np.float32([0.0, 1.0]), (len(clips), 1))


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def service(device):
    model = ServedModel("model", ABOUT, None, None)
    vars(model)["compiled"] = device  # replaces the compiled function
    service = Service(model, Limits(queue=1), 1)
    yield service
    service.close()


def request(body, kind="video/mp4", *, whole=True):
    """A request with its whole body, or one whose client disconnects before sending the rest."""
    messages = [{"type": "http.request", "body": body, "more_body": not whole}]

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    scope = {
        "type": "http", "method": "POST", "path": "/predict", "query_string": b"",
        "headers": [(b"content-type", kind.encode())],
    }  # fmt: skip
    return Request(scope, receive)


def post(service):
    answer = asyncio.run(service.predict(request(VIDEO)))
    return answer.status_code, json.loads(answer.body)


def test_a_failing_device_gives_a_counted_500_and_the_next_request_succeeds(service, device):
    """There is room for one request at a time, so a place that was not freed would refuse the next."""
    device.fails = True
    assert post(service) == (500, {"error": "the server failed to answer; see its log"})
    device.fails = False
    status, answer = post(service)
    assert (status, answer["top"][0]["label"]) == (200, "b")
    said = service.metrics.text().decode()
    assert 'vidjax_requests_total{status="500"} 1.0' in said
    assert "vidjax_requests_in_flight 0.0" in said


def test_a_request_that_is_cut_off_is_counted_and_frees_its_place(service, device):
    device.may_answer.clear()

    async def broken_off():
        asked = asyncio.create_task(service.predict(request(VIDEO)))
        await asyncio.to_thread(device.begun.wait, 60)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        device.may_answer.set()

    asyncio.run(broken_off())
    assert service.broken_off == 1
    assert post(service)[0] == 200


def test_a_client_that_disconnects_during_its_upload_frees_its_place(service):
    for body, kind in ((VIDEO[:100], "video/mp4"), (HEAD + VIDEO[:100], FORM)):
        assert asyncio.run(service.predict(request(body, kind, whole=False))).status_code == 400
    assert post(service)[0] == 200


def test_malformed_forms_do_not_fill_the_log(caplog):
    for body in (b"no form at all", HEAD.replace(b"form-data", b"\x00"), HEAD.replace(b"\r\n\r\n", b"\r\n")):
        with pytest.raises(Refused, match="form"):
            asyncio.run(receive_video(request(body, FORM), Limits()))
    assert caplog.records == []


def test_a_large_file_of_a_form_stays_in_memory(monkeypatch):
    def on_disk(*arguments, **options):
        raise AssertionError("a file is made")

    monkeypatch.setattr(tempfile, "TemporaryFile", on_disk)  # used by SpooledTemporaryFile when it leaves memory
    video = bytes(3 << 20)
    asked = request(HEAD + video + b"\r\n--x--\r\n", FORM)
    assert asyncio.run(receive_video(asked, Limits())) == ("a.mp4", video)
