"""Run an application on a port until it is stopped, finishing accepted requests first."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vidjax.errors import ConfigError
from vidjax.serving.limits import Limits

_LOOK = 0.05  # seconds between checks of whether to stop
_NOTICE = 0.5  # seconds in which connections close after their next response, before new ones are refused
_LAST = 5.0  # further seconds for a connected client to send its first request
_SO_ATTACH_FILTER = 26  # on Linux; Python's socket module does not define it
_NO_NEW_CONNECTIONS = (  # a classic BPF program over a TCP segment: (operation, jump if true, jump if false, operand)
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x45, 0, 1, 0x02),  # is SYN set?
    (0x06, 0, 0, 0),  # then drop the segment
    (0x06, 0, 0, 0xFFFFFFFF),  # else keep all of it
)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 picks any free port.

    Raises:
      ConfigError: when the address does not exist or is in use.
    """
    try:
        return socket.create_server((host, port), backlog=128, reuse_port=False)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error}; give another --port or --host") from error


def serve(
    app: Any, listening: socket.socket, limits: Limits, stop: Callable[[], bool], stopping: Callable[[], None]
) -> None:
    """Serve until `stop` returns True; then call `stopping`, refuse new connections and finish accepted requests."""
    config = uvicorn.Config(
        app, http=_protocol(limits.upload_seconds), ws="none", lifespan="off", log_level="warning", access_log=False,
        server_header=False, timeout_graceful_shutdown=limits.drain_seconds,
    )  # fmt: skip
    server = _Server(config)

    async def until_stopped() -> None:
        serving = asyncio.create_task(server.serve([listening]))
        while not serving.done():
            if stop() and not server.should_exit:
                stopping()
                await asyncio.sleep(_NOTICE)
                server.should_exit = True
            await asyncio.sleep(_LOOK)
        await serving

    asyncio.run(until_stopped())


class _Server(uvicorn.Server):
    """A server that leaves signal handling to its caller and accepts pending connections when it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the connections pending in the sockets' queues, which closing would reset; then shut down."""
        for listening in sockets or []:
            _refuse_new(listening)
        await asyncio.sleep(_LOOK)  # let handshakes that have begun finish
        until = time.monotonic() + _NOTICE
        while select.select(sockets or [], [], [], 0)[0] and time.monotonic() < until:
            await asyncio.sleep(0)
        await super().shutdown(sockets)


def _refuse_new(listening: socket.socket) -> None:
    """Let no further connection begin. A client that tries gets no reply, tries again a second later, and is refused.

    Otherwise the kernel completes connections until the socket closes, and then resets them. The filter
    works only on Linux; elsewhere, and in sandboxes that do not allow it, a client may see such a reset.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        program = b"".join(struct.pack("=HBBI", *line) for line in _NO_NEW_CONNECTIONS)
        held = ctypes.create_string_buffer(program)
        header = struct.pack("@HP", len(_NO_NEW_CONNECTIONS), ctypes.addressof(held))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)


def _protocol(seconds: float) -> type[H11Protocol]:
    """Return an HTTP protocol with a time limit for the head of a request; `receive_video` has one for the body."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            # asyncio sets TCP_NODELAY only for sockets that it opens itself. Without it, the body of an answer waits
            # some 40 ms for the client's kernel to acknowledge the head.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super().connection_made(transport)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def shutdown(self) -> None:
            if self.cycle is None:  # connected, but no request yet
                self.loop.call_later(_LAST, super().shutdown)
            else:
                super().shutdown()

        def _watch(self) -> None:
            """Close the connection after the time limit unless another request has begun."""
            before = self.cycle

            def look() -> None:
                if self.cycle is before:
                    self.transport.close()

            self.loop.call_later(seconds, look)

    return Protocol
