"""The response to a refused request, possibly sent before the whole request has arrived."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

_LINGER = 1.0  # seconds


class Refusal(JSONResponse):
    """A response {"error": sentence}, after which the connection is closed.

    The client may still be sending. If the connection closed at once, the client's system would drop the response, so
    incoming data is received and discarded for a moment.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str]):
        super().__init__({"error": sentence}, status, {"Connection": "close", **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, linger, and end it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while (await receive()).get("more_body"):
                    pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
