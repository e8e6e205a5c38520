"""Where pieces of work are done, each of which leaves a file: in threads of this process, or on Apache Beam.

Every machine of a cluster must see videos, models and the output folder under the same paths. A cluster may do a piece
twice, even at the same time, and may still be at one when the command that asked for it is gone: pieces must bear that.
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
_CLASSES = {  # of runners that Beam does not know by these names
    LOCAL: "apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    DASK: "apache_beam.runners.dask.dask_runner.DaskRunner",
}
_SAID = re.compile(r"<<vidjax: (.*?)>>", re.DOTALL)  # a sentence of a worker, in what Beam makes of its exception
_LOOK_EVERY, _SHARE = 1.0, 0.02  # seconds between two looks at what is there, and the most of the time that they take
Piece = TypeVar("Piece")


def default_runner() -> str:
    """Beam's local runner if Beam is installed, else threads."""
    return LOCAL if importlib.util.find_spec("apache_beam") else THREADS


@dataclasses.dataclass(frozen=True)
class Runner:
    """What does the work, and how much at a time.

    Attributes:
      name: `threads`, `local` (Beam in this process), or a Beam runner such as DaskRunner or DataflowRunner.
      options: flags of Beam, such as --project=NAME.
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
    """Do all pieces of work.

    Args:
      work: does one piece; picklable.
      is_done: whether what a piece leaves is there; a cluster that goes away may end a pipeline without an error.

    Raises:
      ConfigError: when Beam is asked for and not installed, or does not know the runner.
      DataError: when a piece or the pipeline fails.
    """
    if runner.name == THREADS:
        if runner.options:
            raise ConfigError(f"{runner.options[0]} is an option of Beam, and runner=threads is none of its runners")
        _in_threads(work, pieces, runner.threads)
        return
    if importlib.util.find_spec("apache_beam") is None:
        raise ConfigError(
            f"runner={runner.name} needs Apache Beam; pip install 'vidjax[beam]' adds it, and runner=threads does "
            "without"
        )
    if runner.name == DASK and importlib.util.find_spec("distributed") is None:
        raise ConfigError(f"runner={DASK} needs Dask; pip install 'vidjax[dask]' adds it")
    _on_beam(work, pieces, runner)
    if undone := sum(not is_done(piece) for piece in pieces):
        raise DataError(
            f"{undone} of {len(pieces)} pieces of work are not there, though the pipeline has ended; see whether the "
            "cluster still runs, and give the same command again"
        )


@contextlib.contextmanager
def watching(
    pieces: Sequence[Piece], is_done: Callable[[Piece], bool], on_done: Callable[[Piece], None]
) -> Generator[None]:
    """While open, look now and then for what each piece leaves, and tell of it once, whichever machine has done it."""
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
        except BaseException:  # Ctrl-C too: begin no further piece, and raise it again
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
        flags.append("--dask_partition_size=1")  # Beam's 128 pieces would all be one worker's
    try:
        pipeline = beam.Pipeline(options=PipelineOptions(flags))
        spread = pipeline | "pieces" >> beam.Create(list(pieces)) | "spread" >> beam.Reshuffle()
        _ = spread | "work" >> beam.Map(functools.partial(_do, work))
        result = pipeline.run()
        try:
            state = result.wait_until_finish()
        except BaseException:  # Ctrl-C too: a cluster would go on
            with contextlib.suppress(Exception):
                result.cancel()
            raise
    except UserError:
        raise
    except ValueError as error:  # an unknown runner, or one whose options are missing
        raise ConfigError(f"Beam cannot run on {runner.name}: {error}") from error
    except Exception as error:  # of Beam, of the runner's own kinds, or what it makes of a worker's
        if found := _SAID.search(str(error)):
            raise DataError(found[1]) from error
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"the Beam pipeline failed: {type(error).__name__} {first}") from error
    if state != PipelineState.DONE:
        raise DataError(f"the Beam pipeline ended as {state}; its runner's log says why")


def _do(work: Callable[[Piece], object], piece: Piece) -> None:
    """Beam moves nothing but pieces; what they leave goes straight to its file."""
    try:
        work(piece)
    except UserError as error:  # a runner may wrap it many times over, with tracebacks
        raise RuntimeError(f"<<vidjax: {error}>>") from error
