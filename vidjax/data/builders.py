"""Prepared data sets: TFDS builders that store each video file as bytes in ArrayRecord, without TensorFlow.

A builder takes its rows from a `VideoSource`, so class folders, CSV lists and the official layouts of Kinetics-400,
Something-Something V2 and UCF101 are all prepared by the same code. Every video is opened before it is stored; one that
cannot be read goes to `failures.jsonl` with its reason and is counted, never dropped in silence.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from vidjax.data import labelmap, records
from vidjax.data.decode import Video, VideoInfo
from vidjax.data.rows import Row
from vidjax.data.sources import VideoSource
from vidjax.errors import DataError, VideoError

FAILURES = "failures.jsonl"
_AHEAD = 4  # videos read ahead, a thread
_DECODED_AT_ONCE = 32  # frames, when checking every one


class VideoFolder(tfds.core.GeneratorBasedBuilder):
    """Videos as bytes with label, id, number of frames, frames per second and displayed size.

    Args:
      sources: a `VideoSource` for each split to prepare.
      check: opens the bytes of a video and raises VideoError if they are not to be stored.
      on_video: called with the split's name after each video, for a progress bar.
      threads: videos checked at a time.
    """

    name = "video_folder"
    VERSION = tfds.core.Version("1.0.0")

    def __init__(
        self,
        *,
        sources: dict[str, VideoSource],
        check: Callable[[bytes], VideoInfo],
        on_video: Callable[[str], None] = lambda split: None,
        threads: int = 1,
        **kwargs: Any,
    ):
        self._sources, self._check, self._on_video, self._threads = sources, check, on_video, threads
        self.failures: list[dict[str, Any]] = []
        _check_labels(sources)
        super().__init__(file_format="array_record", **kwargs)

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Class names, the same for all splits; None where labels are bare numbers."""
        return next(iter(self._sources.values())).labels

    def _info(self) -> tfds.core.DatasetInfo:
        count = max(source.num_classes for source in self._sources.values())
        kind = {"names": self.label_names} if self.label_names else {"num_classes": count}
        features = {
            "video": tfds.features.Scalar(np.object_),
            "label": tfds.features.ClassLabel(**kind),
            "id": tfds.features.Text(),
            "num_frames": np.int64,
            "fps": np.float64,
            "height": np.int64,
            "width": np.int64,
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        return {split: self._generate_examples(split, source) for split, source in self._sources.items()}

    def _generate_examples(self, split: str, source: VideoSource) -> Iterator[tuple[str, dict[str, Any]]]:
        _check_ids(split, source)
        stored = 0
        for row, video, info in self._opened(source):
            self._on_video(split)
            if isinstance(info, VideoError):
                self.failures.append({"split": split, "id": row.id, "reason": info.reason, "detail": info.detail})
                continue
            stored += 1
            size = {"num_frames": info.frames, "fps": info.fps, "height": info.height, "width": info.width}
            yield row.id, {"video": video, "label": row.label, "id": row.id, **size}
        if not stored:
            raise DataError(
                f"no video of split {split!r} can be read; the first failed with {self.failures[0]['detail']}"
            )

    def _opened(self, source: VideoSource) -> Iterator[tuple[Row, bytes, VideoInfo | VideoError]]:
        """Each row with its bytes and what they hold or why they cannot be read; a few rows ahead, in order."""

        def opened(index: int):
            row = source[index]
            try:
                video = row.video if isinstance(row.video, bytes) else _read_bytes(row.video)
                return row, video, self._check(video)
            except VideoError as error:
                return row, b"", error

        waiting: collections.deque[concurrent.futures.Future] = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(self._threads) as pool:
            for index in range(len(source)):
                waiting.append(pool.submit(opened, index))
                if len(waiting) > self._threads * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class Kinetics400(VideoFolder):
    """Kinetics-400 (Kay et al. 2017, arXiv:1705.06950); layout in `vidjax.data.datasets.kinetics400`."""

    name = "kinetics400_videos"


class SSv2(VideoFolder):
    """Something-Something V2 (Goyal et al. 2017, arXiv:1706.04261); layout in `vidjax.data.datasets.ssv2`."""

    name = "ssv2_videos"


class UCF101(VideoFolder):
    """UCF101 (Soomro et al. 2012, arXiv:1212.0402); layout in `vidjax.data.datasets.ucf101`."""

    name = "ucf101_videos"


BUILDERS = {"kinetics400": Kinetics400, "ssv2": SSv2, "ucf101": UCF101}


def open_whole_index(video: bytes) -> VideoInfo:
    """Check a video by its packets and its first frame: milliseconds; finds files that break off."""
    with Video(video) as opened:
        return opened.info


def decode_every_frame(video: bytes) -> VideoInfo:
    """Check a video by decoding all of it: finds damaged pictures as well, at the price of a full decode."""
    with Video(video) as opened:
        for start in range(0, opened.info.frames, _DECODED_AT_ONCE):
            opened.read(range(start, min(start + _DECODED_AT_ONCE, opened.info.frames)))
        return opened.info


CHECKS = {"index": open_whole_index, "decode": decode_every_frame}


def prepare_records(
    name: str,
    sources: dict[str, VideoSource],
    out: str | os.PathLike,
    *,
    check: str = "index",
    threads: int = 1,
    on_video: Callable[[str], None] = lambda split: None,
) -> tuple[pathlib.Path, list[dict[str, Any]]]:
    """Write the splits as one TFDS data set under `out`.

    Args:
      name: a `data.name`; kinetics400, ssv2 and ucf101 have builders of their own name.
      sources: a `VideoSource` for each split.
      check: `index` or `decode`, what a video must pass to be stored.

    Returns:
      the folder to use as `data.root`, and one dict a video that could not be stored.

    Raises:
      DataError: for repeated ids, splits with different label maps, a split without a readable video, or a folder that
        already holds this data set.
    """
    tfds.disable_progress_bar()
    builder_class = BUILDERS.get(name, VideoFolder)
    builder = builder_class(
        sources=sources, check=CHECKS[check], on_video=on_video, threads=threads, data_dir=os.fspath(out)
    )
    folder = pathlib.Path(builder.data_path)
    if folder.exists():
        raise DataError(f"{folder} already holds a data set; remove it or choose another folder")
    with tempfile.TemporaryDirectory() as unused, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=unused)
    with (folder / FAILURES).open("w") as file:
        file.writelines(json.dumps(failure) + "\n" for failure in builder.failures)
    for split in builder.info.splits:
        labels = [record["label"] for record in builder.as_data_source(split)]
        np.save(records.labels_path(os.fspath(folder), split), np.array(labels, np.int64))
    labelmap.save(folder, tuple(builder.info.features["label"].names))
    return folder, builder.failures


def _read_bytes(path: str) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise VideoError("missing", f"{path}: {error.strerror}") from error


def _check_labels(sources: dict[str, VideoSource]) -> None:
    (first, source), *others = sources.items()
    for split, other in others:
        if other.labels != source.labels:
            raise DataError(f"splits {first!r} and {split!r} do not have the same label names in the same order")


def _check_ids(split: str, source: VideoSource) -> None:
    """TFDS cannot say which key repeats without TensorFlow, so it is told only unique ones."""
    counts = collections.Counter(source[index].id for index in range(len(source)))
    repeated, times = counts.most_common(1)[0] if counts else ("", 0)
    if not times:
        raise DataError(f"split {split!r} has no videos")
    if times > 1:
        raise DataError(f"split {split!r} has {times} videos with the id {repeated!r}; ids must be unique")
