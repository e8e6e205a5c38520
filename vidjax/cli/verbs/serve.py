"""`vidjax serve`: classify videos over HTTP: POST one to /predict and get the answer of `vidjax predict --json`.

SOURCE is a folder written by `vidjax export --format=stablehlo`, or any other model. The verb needs FastAPI (extra
`serve`). The server has no password and is reachable from this machine only, unless --host opens it to others. /health
and /metrics are for monitoring. On SIGTERM or Ctrl-C it finishes the accepted requests.
"""

from __future__ import annotations

import argparse

from vidjax.cli import load_model
from vidjax.cli.terminal import say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError
from vidjax.progress import progress

_MOST = 256  # clips per batch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("source", metavar="SOURCE", help=f"a folder written by vidjax export --format=stablehlo, or {load_model.HELP}")
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all networks (127.0.0.1)")
    add("--port", type=int, default=8000, help="port; 0 for any free one (8000)")
    add("--max-batch", type=int, default=8, metavar="N", help="clips computed together, a power of two (8)")
    add("--max-mb", type=int, default=50, metavar="N", help="largest video file, in MiB, kept in memory (50)")
    add("--max-seconds", type=int, default=600, metavar="N", help="longest video, in seconds (600)")
    add("--queue", type=int, default=32, metavar="N", help="requests in flight; further ones must retry later (32)")
    add("--upload-seconds", type=float, default=30.0, metavar="S", help="time limit to send a request, in seconds (30)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal arrives; the exit code is 128 plus its number."""
    most = arguments.max_batch
    if not 1 <= most <= _MOST or most & (most - 1):
        raise ConfigError(f"--max-batch={most} must be a power of two from 1 to {_MOST}")
    try:
        from vidjax.serving import app, server
    except ModuleNotFoundError as error:
        raise ConfigError(f"vidjax serve needs {error.name}; pip install 'vidjax[serve]'") from error
    from vidjax.serving.limits import Limits
    from vidjax.serving.model import open_model
    from vidjax.training.compile_cache import use_compile_cache
    from vidjax.training.stop_signal import StopSignal

    limits = Limits(
        megabytes=arguments.max_mb, seconds=arguments.max_seconds, queue=arguments.queue,
        upload_seconds=arguments.upload_seconds,
    )  # fmt: skip
    use_compile_cache()
    listening = server.listen(arguments.host, arguments.port)
    with progress(f"reading {arguments.source}"):
        model = open_model(arguments.source)
    service = app.Service(model, limits, most)
    with progress("compiling", len(service.batcher.sizes), unit="batch sizes") as advance:
        service.batcher.warm(model.clip_shape, advance)
    host, port = listening.getsockname()[:2]
    say(f"{model.name} answers at http://{host}:{port}/predict; Ctrl-C stops")
    with StopSignal(lambda: "") as signals:
        signals.unsaved = True  # the first signal is recorded, a second one ends the process
        server.serve(app.build_app(service), listening, limits, lambda: signals.signal > 0, service.stop)
        service.close()
        signals.unsaved = False
    if service.broken_off:
        say(f"vidjax: stopped; {limits.drain_seconds} s were not enough to answer {service.broken_off} of the requests")
    else:
        say("vidjax: stopped; all accepted requests were answered")
    return 128 + signals.signal


VERB = Verb(__doc__, add_arguments, run, "vidjax serve exported")
