"""Serve the page on this machine, or on a public address with a password, from a temporary folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from vidjax.demo.limits import Limits

USER = "demo"  # the name to log in with
WAITING = 16  # visitors in the queue
LOOPBACK = "127.0.0.1"  # this machine only
RECEIVED = "received"  # subfolder of the page's folder for gradio's uploads


@contextlib.contextmanager
def own_folder() -> Generator[Path]:
    """Yield a temporary folder for everything the page writes; gradio writes to its subfolder RECEIVED."""
    before, variable = tempfile.tempdir, os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="vidjax-demo-", ignore_cleanup_errors=True) as folder:
        received = Path(folder, RECEIVED)
        received.mkdir()
        tempfile.tempdir = os.environ["GRADIO_TEMP_DIR"] = str(received)
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before
            if variable is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = variable


def serve(page: Any, limits: Limits, port: int, password: str = "", host: str = LOOPBACK, **options: Any) -> None:
    """Serve a gradio page until it is interrupted.

    Args:
      password: if given, also serve on a public address.
      host: address to listen on.
      options: for gradio's `launch`.

    Raises:
      OSError: when the port is taken.
    """
    # Without api_open=False, requests to /run would bypass the queue.
    page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    page.launch(
        server_name=host,
        server_port=port,
        share=bool(password),
        auth=(USER, password) if password else None,
        max_file_size=limits.bytes,
        enable_monitoring=False,
        ssr_mode=False,
        footer_links=[],
        **options,
    )
