"""Batches of clips through grain, the same for any number of processes and workers.

The order of operations ensures this: shuffle, repeat, augment (random numbers keyed by the global row), and only then
select the rows of a process, which workers decode in turn. A resumed run starts reading at a later row, so no iterator
state is ever saved.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from absl import flags

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.in_place import Packed, pack, unpack
from vidjax.data.machine import free_host_memory, usable_cores
from vidjax.data.read_ahead import CLOSING, Batch, Join, ReadAhead
from vidjax.data.sources.base import Rows, VideoSource
from vidjax.data.training_order import training_order
from vidjax.data.video.frame_cache import FrameCache
from vidjax.data.worker_memory import mark_segments, own_mark, sweep
from vidjax.errors import ConfigError, StalledError

if TYPE_CHECKING:  # grain imports jax and orbax, which many importers of this module do not need
    import grain

FEW_CORES = 4  # up to this many, no workers are started
MOST_WORKERS = 64
_CACHED_SHARE = 4  # by default, the cache of decoded frames may fill 1 / _CACHED_SHARE of the free memory
WORKER_MEMORY = 10**9  # bytes; an upper estimate of what a worker and its clips take
# A worker's unread output must fit into a pipe of 64 KiB; otherwise the worker does not exit until the pipe is read.
_PACK, _PACKS_AHEAD = 4, 4  # the maximum number of rows per pack; packs buffered per worker
_SMALL = 2**10  # bytes; larger arrays of a pack travel through shared memory


def train_batches(
    source: VideoSource, data: DataConfig, *, seed: int, start_step: int = 0, process: tuple[int, int] = (0, 1)
) -> Batches:
    """Iterate endlessly over the local batches of one process, from `start_step` on.

    With R = data.clips_per_decode, a batch has `rows` = data.global_batch / processes * R rows. The R clips of one
    video are adjacent, share their frame numbers (one decode, as in the repeated augmentation of VideoMAE
    fine-tuning) and differ in their spatial augmentation.

    Args:
      source: the rows. With a `Mixture`, every stretch of training draws on its sources in proportion to their
        weights, and the videos of each source are shuffled and repeated separately.
      process: (index of this process, number of processes); each reads one block of rows of the global batch.

    Returns:
      an iterator with `close()`; its batches are dicts of
        video (rows t s s c) uint8, or (rows n p) with data.cubes; with `data.views`, those views instead;
        label (rows) int32; any other annotation of the rows, under its key in `sources.annotations.ANNOTATIONS`;
        valid (rows) bool, all True;
        index (rows) int64, the data-set row that was used;
        failed (rows 8) int32, the rows that were tried first and could not be decoded, padded with -1;
        failed_reason (rows 8) int8, indices into `VideoError.REASONS`, padded with -1;
        source (rows) int32, with data.mixture: the index of each video's source, in alphabetical order.
      Only the first of the R clips lists failures. A row that fails is replaced by another of its class (in a
      mixture, from its source), if one is left, chosen with random numbers keyed by its position. With
      data.balance=classes the rows of each class are repeated in turn until every class has as many as the largest.

    Raises:
      ConfigError: when the number of processes does not divide the batch, when data.balance=classes and rows do not
        have one class each, or when data describes clips that cannot be made.
      DataError: (from the iterator) when a row and eight substitutes all fail, or a worker process was killed.
      StalledError: (from the iterator) after data.stall_seconds without a video; names the videos being waited for.

    Example:
      >>> data = vidjax.config.DataConfig(root="videos", num_frames=8, stride=2, image_size=64, global_batch=4)
      >>> source = vidjax.data.open_source(data, "train")
      >>> batches = vidjax.data.train_batches(source, data, seed=0)
      >>> batch = next(batches)
      >>> batch["video"].shape, batch["label"].shape
      ((4, 8, 64, 64, 3), (4,))
      >>> batches.close()
    """
    import grain

    from vidjax.data.clips.row_to_clips import LoadTrain

    local = _share(data.global_batch, process[1], "data.global_batch")
    dataset = training_order(source, data, seed)
    part = _Part(dataset.random_map(LoadTrain(source, data, frame_cache(data))), local, process, start_step)

    def video(index: int) -> str:
        return _where(source, cast("int", dataset[part.place(index)]))

    return Batches(grain.MapDataset.source(part), local, _join, data, video)


def eval_batches(
    source: Rows, data: DataConfig, recipe: ClipRecipe, *, batch: int, process: tuple[int, int] = (0, 1)
) -> Batches:
    """Iterate once over the local batches of one process; together, the processes read every video exactly once.

    All processes get the same number of batches; rows past the end are padding. A video that fails is never replaced.

    Args:
      data: gives the numbers of workers and threads, the prefetch and the stall limit.
      recipe: how the views of a video are taken.
      batch: videos per step over all processes.
      process: (index of this process, number of processes).

    Returns:
      an iterator with `close()`. With b = batch / processes and v = recipe.views (crops of a clip are adjacent), its
      batches are dicts of
        video (b v t h w c) uint8; label (b) int32; valid (b) bool, False for padding;
        decoded (b) bool, False (and zeros in video) for padding and failed videos; index (b) int64, -1 for padding;
        failed_reason (b) int8, index into `VideoError.REASONS` or -1.

    Raises:
      ConfigError: when the number of processes does not divide the batch.

    Example:
      >>> data = vidjax.config.DataConfig(root="videos")
      >>> source = vidjax.data.open_source(data, "val")
      >>> recipe = vidjax.from_pretrained("runs/finetune").clips
      >>> batches = vidjax.data.eval_batches(source, data, recipe, batch=4)
      >>> [(batch["video"].shape, batch["valid"].tolist()) for batch in batches]
      [((4, 1, 8, 64, 64, 3), [True, True, False, False])]
    """
    import grain

    from vidjax.data.clips.row_to_clips import LoadEval

    local = _share(batch, process[1], "eval.batch")
    padded = -(-len(source) // batch) * batch
    part = _Part(grain.MapDataset.range(padded).map(LoadEval(source, recipe)), local, process)

    def video(index: int) -> str:
        return _where(source, part.place(index))

    return Batches(grain.MapDataset.source(part), local, _stack, data, video)


class Batches:
    """An iterator over batches, decoded ahead by threads or worker processes that all work on the next batch.

    Attributes:
      videos: videos per batch.
    """

    def __init__(self, rows: grain.MapDataset, videos: int, join: Join, data: DataConfig, video: Callable[[int], str]):
        """Start decoding.

        Args:
          rows: one video each, in order.
          videos: videos per batch.
          join: combines rows into a batch.
          data: gives the numbers of workers and threads, the prefetch and the stall limit.
          video: returns the file of a row, given its position in `rows`.
        """
        _single_threaded_cv2()
        sweep()
        self.videos = videos
        pack = _rows_per_pack(videos, num_workers(data))
        packs = _decoded(rows, pack, join, data)
        self._reader = ReadAhead(packs, videos // pack, pack, data.prefetch, _join)
        self._stall, self._pack, self._video = data.stall_seconds, pack, video
        self._finalizer = weakref.finalize(self, self._reader.close)  # also runs when the interpreter exits

    @property
    def decoded(self) -> int:
        """Number of videos of the next batch that are decoded already."""
        return self._reader.decoded

    def close(self) -> None:
        """Stop the threads or processes; call it when the batches are not read to the end."""
        self._finalizer()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        try:
            batch = self._reader.take(self._stall) if self._finalizer.alive else None
        except TimeoutError:
            raise StalledError(self._stalled()) from None
        if batch is None:
            self.close()
            raise StopIteration
        return batch

    def _stalled(self) -> str:
        """A message that names the next videos; rows come in order, so one of these is holding up the rest."""
        first, names = self._reader.read, list[str]()
        rows = range(first, first + self._pack)
        thread = threading.Thread(target=lambda: names.extend(map(self._video, rows)), daemon=True)
        thread.start()
        thread.join(CLOSING)  # on a disk that hangs, even looking up the name may block
        names = list(filter(None, dict.fromkeys(names))) or [f"row {first} since this process started"]
        return (
            f"no video has been decoded for {self._stall:g} s (data.stall_seconds); the loader is at "
            f"{'one of ' * (len(names) > 1)}{', '.join(names)}. Check whether it can be read; the same command with "
            "the same workdir resumes from the last checkpoint"
        )


def num_workers(data: DataConfig) -> int:
    """Number of processes that decode: data.workers or, if that is -1, as many as suit cores and free memory.

    With few cores, threads of this process decode just as fast, since decoding releases the GIL, and start at once.
    """
    if data.workers >= 0:
        return data.workers
    cores, memory = usable_cores(), free_host_memory()
    if cores <= FEW_CORES:
        return 0
    return min(cores - 2, MOST_WORKERS if memory is None else max(memory // WORKER_MEMORY, 1), MOST_WORKERS)


def frame_cache(data: DataConfig) -> FrameCache | None:
    """A cache of decoded frames; None if data.cache_gb is 0 or with worker processes, as each would keep its own."""
    if not data.cache_gb or num_workers(data):
        return None
    if data.cache_gb > 0:
        return FrameCache(int(data.cache_gb * 10**9), open_ended=data.open_ended)
    return FrameCache((free_host_memory() or 0) // _CACHED_SHARE, open_ended=data.open_ended)


def decoders(data: DataConfig) -> int:
    """Number of videos that are decoded at a time."""
    return min(max(num_workers(data), 1) * data.threads, usable_cores())


def _decoded(rows: grain.MapDataset, pack: int, join: Join, data: DataConfig) -> grain.IterDataset:
    """The rows in order, `pack` at a time, decoded by threads or worker processes."""
    import grain
    from grain.experimental import DatasetOptions, WithOptionsIterDataset

    packs = rows.batch(pack, batch_fn=join).to_iter_dataset(grain.ReadOptions(data.threads, 2 * data.threads))
    workers = num_workers(data)
    if not workers:
        return packs
    # Starting the resource tracker unblocks signals in the calling thread. The thread that starts the workers must keep
    # them blocked, since workers inherit its signal mask, so the tracker is started here, in another thread.
    resource_tracker.ensure_running()
    if not flags.FLAGS.is_parsed():  # grain reads a flag even if no absl app has parsed any
        flags.FLAGS.mark_as_parsed()
    in_worker = WithOptionsIterDataset(packs, DatasetOptions(min_shm_size=_SMALL))
    options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=_PACKS_AHEAD)
    return in_worker.mp_prefetch(options, worker_init_fn=functools.partial(_start_worker, own_mark()))


def _rows_per_pack(videos: int, workers: int) -> int:
    """Number of rows per pack, a divisor of the batch.

    Several rows cost hardly more to send than one, but all workers should share a batch.
    """
    most = min(_PACK, videos // max(workers, 1)) if workers else 1
    return next(number for number in range(max(most, 1), 0, -1) if videos % number == 0)


class _Part:
    """The rows of one process's batches from a step on; workers share its large arrays instead of copying them."""

    def __init__(self, rows: grain.MapDataset, videos: int, process: tuple[int, int], start_step: int = 0):
        self._rows, self._videos, self._process, self._start = rows, videos, process, start_step

    def __len__(self) -> int:
        return (len(self._rows) // (self._videos * self._process[1]) - self._start) * self._videos

    def __getitem__(self, index: int) -> Batch:
        return cast("Batch", self._rows[self.place(index)])

    def place(self, index: int) -> int:
        """The position of a row among the rows of all processes and steps."""
        place, count = self._process
        step, row = divmod(index, self._videos)
        return ((self._start + step) * count + place) * self._videos + row

    def __deepcopy__(self, memo: dict) -> _Part:  # grain copies it for each worker before pickling the copy
        return self

    def __getstate__(self) -> Packed:
        return pack(vars(self))

    def __setstate__(self, packed: Packed):
        vars(self).update(unpack(packed))


def _where(source: Rows, row: int) -> str:
    """The file of a row, or its id if it has none; empty for padding."""
    if row >= len(source):
        return ""
    found = source[row]
    return os.fsdecode(found.video) if isinstance(found.video, str | os.PathLike) else found.id


def _start_worker(mark: str, worker: int, workers: int):
    del worker, workers
    mark_segments(mark)
    _single_threaded_cv2()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """Exit when the parent ends: a killed parent cannot stop its workers, and they would wait for it forever."""
    cast("multiprocessing.process.BaseProcess", multiprocessing.parent_process()).join()
    os._exit(1)


def _single_threaded_cv2():
    """Stop OpenCV from starting a pool of threads in each thread of the loader."""
    cv2.setNumThreads(1)


def _share(batch: int, processes: int, name: str) -> int:
    if batch % processes:
        raise ConfigError(f"{name}={batch} cannot be shared equally by {processes} processes; use a multiple")
    return batch // processes


def _join(videos: Sequence[Batch]) -> Batch:
    return {key: np.concatenate([video[key] for video in videos]) for key in videos[0]}


def _stack(videos: Sequence[Batch]) -> Batch:
    return {key: np.stack([video[key] for video in videos]) for key in videos[0]}
