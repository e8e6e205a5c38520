"""Prepare data sets: videos as bytes in ArrayRecord files with TFDS metadata, without TensorFlow.

Rows come from a `VideoSource`, so the same code prepares class folders, CSV lists and the official layouts of public
data sets. `AnnotatedVideos` are stored with all their annotations instead of a class. A video that cannot be read is
counted and recorded in `failures.jsonl` with the reason, never dropped silently.
"""

from __future__ import annotations

import collections
import functools
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from vidjax.data.prepare.codec import Storing
from vidjax.data.prepare.shards import Note, Shard, is_written, listening, plan, read_note, write_shard
from vidjax.data.runners import Runner, run_pieces, watching
from vidjax.data.sources import labelmap, records
from vidjax.data.sources.annotated_videos import AnnotatedVideos, write_annotations
from vidjax.data.sources.annotations import LABEL
from vidjax.data.sources.base import VideoSource
from vidjax.data.sources.rows import content_id
from vidjax.errors import DataError
from vidjax.files import DRAFTS, Place, absolute, in_bucket, write_json_lines, write_whole, writing

FAILURES = "failures.jsonl"
_WHOLE = "whole"  # the finished data set, inside the working folder
_MARK = "dataset_info.json"  # without this file, a folder is not a data set
VERSION = "1.0.0"
_AS_IT_IS, _ONE_THREAD = Storing(), Runner()


def prepare_records(
    name: str,
    sources: dict[str, VideoSource],
    out: str | os.PathLike,
    *,
    storing: Storing = _AS_IT_IS,
    runner: Runner = _ONE_THREAD,
    on_video: Callable[[str], None] = lambda split: None,
) -> tuple[Place, list[dict[str, Any]]]:
    """Write the splits as one data set, `out/<name>_videos/1.0.0`, which can be opened only when it is complete.

    Work finished by an interrupted call with the same arguments is kept in a hidden folder of `out` and not repeated.
    The files are the same for any runner and number of threads.

    Args:
      name: a `data.name`; characters other than letters and digits become underscores.
      sources: a `VideoSource` for each split; for a cluster, a `vidjax.data.prepare.splits.Splits`, which is cheap to
        send.
      out: a folder on a disk or in a bucket.
      storing: how a video is stored; by default as its own bytes, if its index and first frame can be read.
      runner: where the work runs, and with how many threads.
      on_video: called with the split's name after each video, for a progress bar; on a cluster, for all videos of a
        shard once the shard exists.

    Returns:
      the folder to use as `data.root`, and one dict per video that could not be stored.

    Raises:
      DataError: for repeated ids, splits with different label maps, a split without a readable video, a folder that
        already holds this data set, or a disk that is full or cannot be written.
      ConfigError: for a runner that cannot be used, or an unknown kind of bucket.
    """
    name = re.sub(r"\W+", "_", name)
    _check_labels(sources)
    for split, source in sources.items():
        _check_ids(split, source)
    folder = absolute(out) / f"{name}_videos" / VERSION
    if (folder / _MARK if in_bucket(folder) else folder).exists():
        raise DataError(f"{folder} already holds a data set; remove it or choose another folder")
    contents = [source.content_id for source in sources.values()]
    work = absolute(out) / f".preparing-{content_id([name, *sources, *contents, storing])}"
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
        for draft in work.glob(DRAFTS):  # left by killed calls
            draft.unlink(missing_ok=True)
    shards = plan({split: len(source) for split, source in sources.items()}, os.fspath(work), storing.videos_per_shard)
    write = functools.partial(_write, sources=sources, storing=storing)

    def tell(shard: Shard) -> None:
        for _ in shard.rows:
            on_video(shard.split)

    with listening(on_video) if runner.here else watching(shards, is_written, tell):
        run_pieces(write, shards, runner, is_written)
    notes = {shard: read_note(shard) for shard in shards}
    failures = [failure for note in notes.values() for failure in note.failures]
    try:
        _check_readable(sources, notes, failures)
    except DataError:
        _remove(work)
        raise
    with writing(folder):
        if in_bucket(folder):
            _complete_in_bucket(name, sources, notes, failures, folder)
        else:
            whole = pathlib.Path(work, _WHOLE)
            _complete(name, sources, notes, failures, whole)
            folder.parent.mkdir(parents=True, exist_ok=True)
            whole.rename(folder)
    _remove(work)
    return folder, failures


def features_of(source: VideoSource) -> tfds.features.FeaturesDict:
    """The features of a record: the bytes of a video, its label, id, number of frames, frame rate and displayed size.

    Instead of a label, records of `AnnotatedVideos` hold all annotations of the video, as JSON. Records of videos
    without classes or annotations have neither.
    """
    known: dict[str, Any] = {"label": _class_label(source)} if source.annotation == LABEL else {}
    if isinstance(source, AnnotatedVideos):
        known = {"about": tfds.features.Text()}
    return tfds.features.FeaturesDict(
        {
            "video": tfds.features.Scalar(np.object_),
            **known,
            "id": tfds.features.Text(),
            "num_frames": np.int64,
            "fps": np.float64,
            "height": np.int64,
            "width": np.int64,
        }
    )


def _class_label(source: VideoSource) -> tfds.features.ClassLabel:
    if source.labels:
        return tfds.features.ClassLabel(names=source.labels)
    return tfds.features.ClassLabel(num_classes=source.num_classes)


def _write(shard: Shard, sources: dict[str, VideoSource], storing: Storing) -> Note:
    return write_shard(shard, sources[shard.split], storing, features_of(_widest(sources)))


def _widest(sources: dict[str, VideoSource]) -> VideoSource:
    """The split with the most classes.

    All splits have the same label names. Where classes are only numbers, a split may lack the highest ones.
    """
    return max(sources.values(), key=lambda source: source.num_classes)


def _check_readable(sources: dict[str, VideoSource], notes: dict[Shard, Note], failures: list[dict]) -> None:
    readable = {shard.split for shard, note in notes.items() if note.labels}
    for split in sources:
        if split not in readable:
            first = next(failure for failure in failures if failure["split"] == split)
            raise DataError(f"no video of split {split!r} can be read; the first failed with {first['detail']}")


def _complete(
    name: str, sources: dict[str, VideoSource], notes: dict[Shard, Note], failures: list[dict], whole: pathlib.Path
) -> None:
    """Name the files as TFDS does, in a separate folder, and write the metadata that readers need.

    If the process is killed here, the next call finds the same notes and finishes the work.
    """

    def move(shard: Shard, target: pathlib.Path) -> None:
        if not target.exists():
            shard.path.rename(target)

    whole.mkdir(exist_ok=True)
    _write_metadata(name, sources, notes, failures, whole, move)


def _complete_in_bucket(
    name: str, sources: dict[str, VideoSource], notes: dict[Shard, Note], failures: list[dict], folder: Place
) -> None:
    """Do the work of `_complete` in a bucket, which cannot rename folders: `dataset_info.json` is written last."""
    targets: dict[Shard, str] = {}

    def note_target(shard: Shard, target: pathlib.Path) -> None:
        target.touch()  # TFDS writes metadata only for files that exist
        targets[shard] = target.name

    with tempfile.TemporaryDirectory(prefix="vidjax-") as about:
        _write_metadata(name, sources, notes, failures, pathlib.Path(about), note_target)
        files = {path.name: path.read_bytes() for path in pathlib.Path(about).iterdir()}
    for file in files.keys() - {_MARK, *targets.values()}:
        write_whole(folder / file, files[file])
    for shard, target in targets.items():
        if not (folder / target).exists():
            shard.path.rename(folder / target)
    write_whole(folder / _MARK, files[_MARK])


def _write_metadata(
    name: str,
    sources: dict[str, VideoSource],
    notes: dict[Shard, Note],
    failures: list[dict],
    folder: pathlib.Path,
    place: Callable[[Shard, pathlib.Path], None],
) -> None:
    """Write the metadata that readers need.

    Args:
      folder: a local folder.
      place: called with each shard that has records, and the path that it must have in the folder.
    """
    infos = []
    for split in sources:
        kept = {shard: note for shard, note in notes.items() if shard.split == split and note.labels}
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=f"{name}_videos", split=split, filetype_suffix="array_record"
        )
        lengths = [len(note.labels) for note in kept.values()]
        size = sum(note.num_bytes for note in kept.values())
        for number, shard in enumerate(kept):
            target = template.sharded_filepath(shard_index=number, num_shards=len(kept))
            place(shard, pathlib.Path(target))
        infos.append(tfds.core.SplitInfo(split, lengths, size, filename_template=template))
        _write_index(folder, split, sources[split], list(kept.values()))
    features = features_of(_widest(sources))
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=infos, version=VERSION, check_data=False
    )
    write_json_lines(folder / FAILURES, failures)
    names = tuple(features["label"].names) if "label" in features else _widest(sources).labels
    labelmap.save(folder, names)


def _remove(work: Place) -> None:
    """Remove the working folder."""
    if isinstance(work, pathlib.Path):
        shutil.rmtree(work, ignore_errors=True)
    else:
        work.rmtree(missing_ok=True)


def _write_index(folder: pathlib.Path, split: str, source: VideoSource, notes: list[Note]) -> None:
    """Write the labels or annotations of all records in one file, so that a reader need not open every record."""
    if isinstance(source, AnnotatedVideos):
        write_annotations(folder, split, source, [row for note in notes for row in note.rows])
        return
    labels = [label for note in notes for label in note.labels]
    np.save(records.labels_path(str(folder), split), np.array(labels, np.int64))


def _check_labels(sources: dict[str, VideoSource]) -> None:
    (first, source), *others = sources.items()
    for split, other in others:
        if other.labels != source.labels:
            raise DataError(
                f"splits {first!r} and {split!r} have different classes, which one data set of records cannot hold; "
                "prepare splits with the same classes together, with --splits and an --out of their own"
            )


def _check_ids(split: str, source: VideoSource) -> None:
    """Reject repeated ids: the id alone identifies a record."""
    counts = collections.Counter(source[index].id for index in range(len(source)))
    repeated, times = counts.most_common(1)[0] if counts else ("", 0)
    if not times:
        raise DataError(f"split {split!r} has no videos")
    if times > 1:
        raise DataError(f"split {split!r} has {times} videos with the id {repeated!r}; ids must be unique")
