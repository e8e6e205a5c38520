"""Batches of clips through grain, the same for any number of processes and workers.

The order of operations is what makes them the same: shuffle, repeat, augment (random numbers keyed by the global row),
batch, and only then the slice of a process. Resuming is a slice too, so no state of an iterator is ever saved.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import cast

import cv2
import grain
import numpy as np
from absl import flags
from jaxtyping import Int64

from vidjax.config import DataConfig
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.clips.row_to_clips import LoadEval, LoadTrain
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import Rows, VideoSource
from vidjax.errors import ConfigError

_ROWS = 2**48  # without end, yet small enough for the floats that grain computes lengths with
Batch = dict[str, np.ndarray]


def train_batches(
    source: VideoSource, data: DataConfig, *, seed: int, start_step: int = 0, process: tuple[int, int] = (0, 1)
) -> Batches:
    """The endless local batches of one process, from `start_step` on.

    With R = data.clips_per_decode, a batch has `rows` = data.global_batch / processes * R rows; the R clips of one
    video are neighbours, share their frame numbers (one decode, as the repeated augmentation of VideoMAE fine-tuning
    does) and differ in their spatial augmentation.

    Args:
      process: this process and how many there are, as row blocks of the global batch.

    Returns:
      an iterator with `close()`; its batches are dicts of
        video (rows t s s c) uint8 or, instead, the views of `data.views`;
        label (rows) int32; valid (rows) bool, all True;
        index (rows) int64, the data-set row that was used;
        failed (rows 8) int32, the rows that could not be decoded before it, then -1; failed_reason (rows 8) int8,
        indices into `VideoError.REASONS`, then -1. Of R clips only the first carries failures.
      A row that fails is replaced by another of its class, drawn from random numbers of that place in the order.
      With data.balance=classes the rows of each class are repeated, in turn, until there are as many as of the largest.

    Raises:
      ConfigError: when the processes do not divide the batch.
      DataError: (from the iterator) when a row and eight substitutes fail one after the other.
    """
    place, count = process
    local = _share(data.global_batch, count, "data.global_batch")
    rows = balanced_rows(source) if data.balance == "classes" else range(len(source))
    dataset = (
        grain.MapDataset.source(cast("Sequence[int]", rows))
        if data.balance == "classes"
        else grain.MapDataset.range(len(source))
    )
    dataset = dataset.seed(seed).shuffle().repeat(_ROWS // len(rows))
    dataset = dataset.random_map(LoadTrain(source, data)).batch(local, batch_fn=_join)
    return Batches(dataset[start_step * count + place :: count], data)


def eval_batches(
    source: Rows, data: DataConfig, recipe: ClipRecipe, *, batch: int, process: tuple[int, int] = (0, 1)
) -> Batches:
    """The local batches of one process in one pass that shows every video exactly once over all processes.

    All processes get the same number of batches; rows past the end are padding. A video that fails is never replaced.

    Args:
      data: says how fast: workers, threads and prefetch.
      recipe: how the views of a video are taken.
      batch: videos a step over all processes.
      process: this process and how many there are.

    Returns:
      an iterator with `close()`; with b = batch / processes and v = recipe.views (crops of a clip are
      neighbours) its batches are dicts of
        video (b v t h w c) uint8; label (b) int32; valid (b) bool, False for padding;
        decoded (b) bool, False (and zeros in video) when the video failed; index (b) int64, -1 for padding;
        failed_reason (b) int8, index into `VideoError.REASONS` or -1.

    Raises:
      ConfigError: when the processes do not divide the batch.
    """
    place, count = process
    local = _share(batch, count, "eval.batch")
    padded = -(-len(source) // batch) * batch
    dataset = grain.MapDataset.range(padded).map(LoadEval(source, recipe)).batch(local, batch_fn=_stack)
    return Batches(dataset[place::count], data)


def balanced_rows(source: VideoSource) -> Int64[np.ndarray, " n"]:
    """Row numbers in which every class is as frequent as the largest; classes without rows are left out."""
    if source.annotation != LABEL:
        raise ConfigError(
            f"data.balance=classes needs one class per row; these rows have {source.annotation}: set it to none"
        )
    rows = [rows for label in range(source.num_classes) if len(rows := source.rows_of_class(label))]
    return np.concatenate([np.resize(own, max(map(len, rows))) for own in rows])


class Batches:
    """An iterator over the batches of a `MapDataset`, read ahead by threads or by worker processes."""

    def __init__(self, dataset: grain.MapDataset, data: DataConfig):
        _single_threaded_cv2()
        # The buffer counts elements, and here an element is a batch.
        ahead = grain.ReadOptions(num_threads=data.threads, prefetch_buffer_size=max(data.prefetch, data.threads))
        batches = dataset.to_iter_dataset(ahead)
        if data.workers:
            if not flags.FLAGS.is_parsed():  # grain reads a flag even where no absl app has parsed any
                flags.FLAGS.mark_as_parsed()
            options = grain.MultiprocessingOptions(data.workers, per_worker_buffer_size=data.prefetch)
            batches = batches.mp_prefetch(options, worker_init_fn=_start_worker)
        self._open = [iter(batches)]
        self._finalizer = weakref.finalize(self, _close, self._open)  # also runs when the interpreter exits

    def close(self) -> None:
        """Stop the threads or processes; call it when the batches are not read to their end."""
        self._finalizer()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if not self._open:
            raise StopIteration
        try:
            return next(self._open[0])
        except StopIteration:
            self.close()
            raise


def _close(iterators: list[grain.DatasetIterator]):
    while iterators:
        iterators.pop().close()


def _start_worker(worker: int, workers: int):
    """Leave signals to the parent: a preempted run still wants its batches while it saves a checkpoint."""
    del worker, workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _single_threaded_cv2()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int):
    """A parent that was killed cannot stop its workers, which would wait for it for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _single_threaded_cv2():
    """OpenCV would otherwise start a pool of threads in each of the loader's own."""
    cv2.setNumThreads(1)


def _share(batch: int, processes: int, name: str) -> int:
    if batch % processes:
        raise ConfigError(f"{name}={batch} cannot be shared equally by {processes} processes; use a multiple")
    return batch // processes


def _join(videos: Sequence[Batch]) -> Batch:
    return {key: np.concatenate([video[key] for video in videos]) for key in videos[0]}


def _stack(videos: Sequence[Batch]) -> Batch:
    return {key: np.stack([video[key] for video in videos]) for key in videos[0]}
