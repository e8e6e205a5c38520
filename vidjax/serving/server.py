"""An application at a port until it is told to stop; what it has begun is finished first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vidjax.errors import ConfigError
from vidjax.serving.limits import Limits

_LOOK = 0.05  # seconds between looks at whether to stop
_NOTICE = 0.5  # seconds in which connections end with their next answer, before no more are taken
_LAST = 1.0  # seconds after that for a request that is on its way


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address; port 0 is any that is free.

    Raises:
      ConfigError: when there is no such address, or another program has it.
    """
    try:
        return socket.create_server((host, port), backlog=128, reuse_port=False)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"nothing can listen at {host}:{port}: {error}; give another --port or --host") from error


def serve(
    app: Any, listening: socket.socket, limits: Limits, stop: Callable[[], bool], stopping: Callable[[], None]
) -> None:
    """Serve until `stop` says so; then call `stopping`, take no more connections, and answer what was taken."""
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
    """Leaves signals to whoever calls it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _protocol(seconds: float) -> type[H11Protocol]:
    """HTTP whose clients have so many seconds for the head of a request; for its body they have a limit of its own."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def shutdown(self) -> None:
            if self.cycle is None:  # connected, and its request not here yet
                self.loop.call_later(_LAST, super().shutdown)
            else:
                super().shutdown()

        def _watch(self) -> None:
            """Close the connection later, if no further request has begun by then."""
            before = self.cycle

            def look() -> None:
                if self.cycle is before:
                    self.transport.close()

            self.loop.call_later(seconds, look)

    return Protocol
