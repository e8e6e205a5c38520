"""Receive the video of a request, a raw body or the single file of a form, within limits of size and time."""

from __future__ import annotations

import asyncio
import logging
import posixpath

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import Message

from vidjax.errors import printable
from vidjax.serving.limits import Limits

_RAW = ("video/", "application/octet-stream", "image/gif")
_LONGEST_NAME = 120  # characters of a file name that are echoed
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # otherwise it logs every malformed form


class Refused(Exception):
    """A refused request.

    Attributes:
      status: HTTP status code; sentence: message for the client.
    """

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


async def receive_video(request: Request, limits: Limits) -> tuple[str, bytes]:
    """Return the name and the bytes of the video in a request; the name of a raw body is "upload".

    Raises:
      Refused: 400 for a form that cannot be read or has no file, or a client that disconnects; 408 for a client that is
        too slow; 413 for a body that is too large (read only up to the limit); 415 for a body that is
        neither a video nor a form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = kind == "multipart/form-data"
    if not is_form and not kind.startswith(_RAW):
        raise Refused(
            415, f"content type {printable(kind)[:80]!r} is not a video; send video/mp4 or multipart/form-data"
        )
    _check_declared(request, limits)
    limited = Request(request.scope, _Counted(request, limits))
    try:
        async with asyncio.timeout(limits.upload_seconds):
            return await _of_form(limited) if is_form else ("upload", await limited.body())
    except TimeoutError:
        sentence = f"the request was not sent within {limits.upload_seconds:g} seconds"
        raise Refused(408, sentence) from None
    except ClientDisconnect:
        raise Refused(400, "the client disconnected") from None


def _check_declared(request: Request, limits: Limits) -> None:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limits.bytes:
        raise _too_large(limits)


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"the body is larger than {limits.megabytes} MiB; send a smaller file")


class _Counted:
    """The messages of a request; raises `Refused` once their bytes exceed the limit."""

    def __init__(self, request: Request, limits: Limits):
        self._receive, self._limits, self._left = request.receive, limits, limits.bytes

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _too_large(self._limits)
        return message


class _InMemory(MultiPartParser):
    """A parser that keeps files in memory, bounded by the body limit, instead of writing those over 1 MiB to disk."""

    spool_max_size = 0  # 0 keeps a SpooledTemporaryFile in memory at any size


async def _of_form(request: Request) -> tuple[str, bytes]:
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=1, max_fields=8).parse()
    except MultiPartException as error:
        raise Refused(400, f"the form cannot be read: {printable(error.message)}") from error
    try:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if not files:
            raise Refused(400, "the form has no file; send one, as curl -F video=@video.mp4 does")
        return _name(files[0].filename), await files[0].read()
    finally:
        await form.close()


def _name(given: str | None) -> str:
    """Return the base name of a path from any operating system."""
    name = posixpath.basename((given or "").replace("\\", "/"))
    return printable(name)[:_LONGEST_NAME] or "upload"
