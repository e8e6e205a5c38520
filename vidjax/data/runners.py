"""Run pieces of work, each of which writes a file, in threads of this process or on Apache Beam.

Every machine of a cluster must see videos, models and the output folder under the same paths. A cluster may run a piece
twice, even concurrently, and may still be running it after the command that asked for it has ended. Pieces must
tolerate both.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.util
import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from vidjax.errors import ConfigError, DataError, UserError

LOCAL = "local"
THREADS = "threads"
DASK = "DaskRunner"
_CLASSES = {  # runners that Beam does not know by these names
    LOCAL: "apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    DASK: "apache_beam.runners.dask.dask_runner.DaskRunner",
}
_SAID = re.compile(r"<<vidjax: (.*?)>>", re.DOTALL)  # a worker's message, inside Beam's own exception
_LOOK_EVERY, _SHARE = 1.0, 0.02  # minimum seconds between checks, and the maximum share of time they may take
Piece = TypeVar("Piece")


def default_runner() -> str:
    """Beam's local runner if Beam is installed, otherwise threads."""
    return LOCAL if importlib.util.find_spec("apache_beam") else THREADS


@dataclasses.dataclass(frozen=True)
class Runner:
    """The runner of the work, its options and its number of threads.

    Attributes:
      name: `threads`, `local` (Beam in this process), or a Beam runner such as DaskRunner or DataflowRunner.
      options: flags for Beam, such as --project=NAME.
      threads: pieces at a time on this machine.
    """

    name: str = THREADS
    options: tuple[str, ...] = ()
    threads: int = 1

    @property
    def here(self) -> bool:
        """Whether this process does the work itself."""
        return self.name in (THREADS, LOCAL)


def run_pieces(
    work: Callable[[Piece], object], pieces: Sequence[Piece], runner: Runner, is_done: Callable[[Piece], bool]
) -> None:
    """Run all pieces of work.

    Args:
      work: runs one piece; picklable.
      is_done: whether a piece's output exists. A cluster that goes away may end a pipeline without an error, so this is
        checked at the end.

    Raises:
      ConfigError: when Beam options are given for threads, Beam or Dask is needed but not installed, or Beam does not
        know the runner.
      DataError: when a piece or the pipeline fails.
    """
    if runner.name == THREADS:
        if runner.options:
            raise ConfigError(f"{runner.options[0]} is a Beam option, which runner=threads does not take; leave it out")
        _in_threads(work, pieces, runner.threads)
        return
    if importlib.util.find_spec("apache_beam") is None:
        raise ConfigError(
            f"runner={runner.name} needs Apache Beam: run pip install 'vidjax[beam]', or use runner=threads, which "
            "does not need it"
        )
    if runner.name == DASK and importlib.util.find_spec("distributed") is None:
        raise ConfigError(f"runner={DASK} needs Dask; run pip install 'vidjax[dask]'")
    _on_beam(work, pieces, runner)
    if undone := sum(not is_done(piece) for piece in pieces):
        raise DataError(
            f"the outputs of {undone} of {len(pieces)} pieces of work are missing although the pipeline has ended; "
            "check that the cluster is still running, and run the same command again"
        )


@contextlib.contextmanager
def watching(
    pieces: Sequence[Piece], is_done: Callable[[Piece], bool], on_done: Callable[[Piece], None]
) -> Generator[None]:
    """While open, check regularly for finished pieces; call `on_done` once for each, whichever machine ran it."""
    left, over = list(pieces), threading.Event()

    def look() -> None:
        nonlocal left
        looked = [(piece, is_done(piece)) for piece in left]
        left = [piece for piece, done in looked if not done]
        for piece in (piece for piece, done in looked if done):
            on_done(piece)

    def look_now_and_then() -> None:
        pause = 0.0
        while not over.wait(pause):
            since = time.monotonic()
            look()
            pause = max(_LOOK_EVERY, (time.monotonic() - since) / _SHARE)

    watcher = threading.Thread(target=look_now_and_then, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    look()


def _in_threads(work: Callable[[Piece], object], pieces: Sequence[Piece], threads: int) -> None:
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, piece) for piece in pieces]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:  # Ctrl-C too: start no further piece, and re-raise
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _on_beam(work: Callable[[Piece], object], pieces: Sequence[Piece], runner: Runner) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineState

    name = _CLASSES.get(runner.name, runner.name)
    flags = [f"--runner={name}", "--pickle_library=cloudpickle", *runner.options]
    if runner.name == LOCAL:
        flags += ["--direct_running_mode=multi_threading", f"--direct_num_workers={runner.threads}"]
    if runner.name == DASK and not any(re.match("--dask_(npartitions|partition_size)", flag) for flag in flags):
        flags.append("--dask_partition_size=1")  # by Beam's default, up to 128 pieces go to one worker
    try:
        pipeline = beam.Pipeline(options=PipelineOptions(flags))
        spread = pipeline | "pieces" >> beam.Create(list(pieces)) | "spread" >> beam.Reshuffle()
        _ = spread | "work" >> beam.Map(functools.partial(_do, work))
        result = pipeline.run()
        try:
            state = result.wait_until_finish()
        except BaseException:  # Ctrl-C too: a cluster would keep running
            with contextlib.suppress(Exception):
                result.cancel()
            raise
    except UserError:
        raise
    except ValueError as error:  # an unknown runner, or one whose options are missing
        raise ConfigError(f"Beam cannot run on {runner.name}: {error}") from error
    except Exception as error:  # an error of Beam or the runner, or Beam's wrapper around a worker's error
        if found := _SAID.search(str(error)):
            raise DataError(found[1]) from error
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"the Beam pipeline failed: {type(error).__name__} {first}") from error
    if state != PipelineState.DONE:
        raise DataError(f"the Beam pipeline ended as {state}; see the log of its runner for the reason")


def _do(work: Callable[[Piece], object], piece: Piece) -> None:
    """Run one piece; it writes its output straight to a file, so nothing returns through Beam."""
    try:
        work(piece)
    except UserError as error:  # a runner may wrap the error several times, with tracebacks
        raise RuntimeError(f"<<vidjax: {error}>>") from error
