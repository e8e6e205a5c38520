"""Where shards are written: on Apache Beam, on this machine or a cluster, or in threads where Beam is not installed.

Every machine of a cluster must see the videos and the output folder under the same paths.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Sequence

from vidjax.data.prepare.shards import Note, Shard
from vidjax.errors import ConfigError, DataError

LOCAL = "local"
THREADS = "threads"
_LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
WriteShard = Callable[[Shard], Note]


def default_runner() -> str:
    """Beam's local runner if Beam is installed, else threads."""
    return LOCAL if importlib.util.find_spec("apache_beam") else THREADS


@dataclasses.dataclass(frozen=True)
class Runner:
    """What writes the shards, and how many at a time.

    Attributes:
      name: `threads`, `local` (Beam in this process), or a Beam runner such as DataflowRunner.
      options: flags of Beam, such as --project=NAME.
      threads: shards at a time on this machine.
    """

    name: str = THREADS
    options: tuple[str, ...] = ()
    threads: int = 1


def run_shards(write: WriteShard, shards: Sequence[Shard], runner: Runner) -> None:
    """Write all shards.

    Args:
      write: writes one shard; picklable.

    Raises:
      ConfigError: when Beam is asked for and not installed, or does not know the runner.
      DataError: when the pipeline fails.
    """
    if runner.name == THREADS:
        if runner.options:
            raise ConfigError(f"{runner.options[0]} is an option of Beam, and runner=threads is none of its runners")
        return _in_threads(write, shards, runner.threads)
    if importlib.util.find_spec("apache_beam") is None:
        raise ConfigError(
            f"runner={runner.name} needs Apache Beam; pip install 'vidjax[beam]' adds it, and runner=threads does "
            "without"
        )
    return _on_beam(write, shards, runner)


def _in_threads(write: WriteShard, shards: Sequence[Shard], threads: int) -> None:
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(write, shard) for shard in shards]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:  # Ctrl-C too: start no further shard, and raise it again
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _on_beam(write: WriteShard, shards: Sequence[Shard], runner: Runner) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    flags = [f"--runner={runner.name}", "--pickle_library=cloudpickle", *runner.options]
    if runner.name == LOCAL:
        flags[0] = f"--runner={_LOCAL_RUNNER}"
        flags += ["--direct_running_mode=multi_threading", f"--direct_num_workers={runner.threads}"]
    try:
        with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
            numbered = pipeline | "shards" >> beam.Create(list(shards)) | "spread" >> beam.Reshuffle()
            _ = numbered | "write" >> beam.Map(functools.partial(_write_one, write))
    except ValueError as error:  # an unknown runner, or one whose options are missing
        raise ConfigError(f"Beam cannot run on {runner.name}: {error}") from error
    except RuntimeError as error:
        raise DataError(f"the Beam pipeline failed: {str(error).splitlines()[0]}") from error


def _write_one(write: WriteShard, shard: Shard) -> int:
    """Beam moves only the number of records; the videos go straight to their shard."""
    return len(write(shard).labels)
