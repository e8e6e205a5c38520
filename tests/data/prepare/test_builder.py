"""Prepared records: what goes in comes out, failures are reported, and TensorFlow is never imported."""

import json
import os
import pathlib
import subprocess
import sys

import av
import bucket
import numpy as np
import pytest

from vidjax.config import DataConfig
from vidjax.data.open import open_source
from vidjax.data.prepare import builder
from vidjax.data.prepare.codec import Storing
from vidjax.data.prepare.encode import Encoding
from vidjax.data.runners import Runner
from vidjax.data.sources import labelmap
from vidjax.data.video.decode import read_frames
from vidjax.errors import DataError
from vidjax.files import located

TWO_PER_SHARD = Storing(videos_per_shard=2)


def write_video(path, frames=6, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for _ in range(frames):
            image = rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def folder(tmp_path):
    for i in range(5):
        write_video(tmp_path / "videos" / "train" / "ab"[i % 2] / f"{i}.mp4", seed=i)
    write_video(tmp_path / "videos" / "val" / "b" / "9.mp4", frames=7, seed=9)
    return tmp_path / "videos"


def sources_of(root, *splits):
    return {split: open_source(DataConfig(root=str(root)), split) for split in splits}


def damage(path):
    """Overwrite bytes in the middle of the encoded frames, which leaves the packets readable."""
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + len(content) // 3
    content[start : start + 400] = bytes(400)
    path.write_bytes(content)


def test_records_return_the_exact_bytes_labels_and_sizes(folder, tmp_path):
    root, failures = builder.prepare_records("folder", sources_of(folder, "train", "val"), tmp_path / "out")
    assert failures == []
    for split, count in (("train", 5), ("val", 1)):
        files = open_source(DataConfig(root=str(folder)), split)
        records = open_source(DataConfig(root=str(root)), split)
        stored = {records[i].id: records[i] for i in range(len(records))}
        assert len(records) == len(stored) == count
        for row in (files[i] for i in range(len(files))):
            assert stored[row.id].video == pathlib.Path(row.video).read_bytes()
            assert stored[row.id].label == row.label
        assert records.labels == files.labels
        np.testing.assert_array_equal(
            records.rows_of_class(1), [i for i in range(len(records)) if records[i].label == 1]
        )


def test_records_hold_the_length_and_size_of_a_video(folder, tmp_path):
    import tensorflow_datasets as tfds

    root, _ = builder.prepare_records("folder", sources_of(folder, "val"), tmp_path / "out")
    record = tfds.builder_from_directory(root).as_data_source("val")[0]
    assert {key: record[key] for key in ("num_frames", "fps", "height", "width")} == {
        "num_frames": 7, "fps": 10.0, "height": 32, "width": 48
    }  # fmt: skip
    assert read_frames(record["video"], [6]).shape == (1, 32, 48, 3)


def test_unreadable_videos_are_listed_with_their_reason_and_the_rest_is_stored(folder, tmp_path):
    (folder / "train" / "a" / "broken.mp4").write_bytes(b"")
    root, failures = builder.prepare_records(
        "folder", sources_of(folder, "train"), tmp_path / "out", runner=Runner(threads=2)
    )
    assert [(f["split"], pathlib.Path(f["id"]).name, f["reason"]) for f in failures] == [
        ("train", "broken.mp4", "empty")
    ]
    assert [json.loads(line) for line in (root / builder.FAILURES).read_text().splitlines()] == failures
    assert len(open_source(DataConfig(root=str(root)), "train")) == 5


def test_decoding_every_frame_finds_damage_that_the_index_cannot_see(folder, tmp_path):
    damage(folder / "train" / "a" / "0.mp4")
    sources = sources_of(folder, "train")
    assert builder.prepare_records("folder", sources, tmp_path / "quick")[1] == []
    failures = builder.prepare_records("folder", sources, tmp_path / "whole", storing=Storing("decode"))[1]
    assert [pathlib.Path(f["id"]).name for f in failures] == ["0.mp4"]


def test_a_split_without_a_readable_video_is_refused_and_nothing_is_left_behind(folder, tmp_path):
    (folder / "val" / "b" / "9.mp4").write_bytes(b"not a video")
    with pytest.raises(DataError, match="no video of split 'val' can be read"):
        builder.prepare_records("folder", sources_of(folder, "train", "val"), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*record*"))


def test_repeated_ids_are_refused_by_name(folder, tmp_path):
    for split in ("train", "val"):
        (folder / f"{split}.csv").write_text("train/a/0.mp4 0\ntrain/b/1.mp4 1\ntrain/a/0.mp4 0\n")
    with pytest.raises(DataError, match=r"2 videos with the id .*train/a/0\.mp4"):
        builder.prepare_records("folder", sources_of(folder, "train"), tmp_path / "out")


def test_splits_with_different_classes_are_refused(folder, tmp_path):
    write_video(tmp_path / "other" / "val" / "c" / "1.mp4")
    other = sources_of(tmp_path / "other", "val")
    with pytest.raises(DataError, match="different classes"):
        builder.prepare_records("folder", sources_of(folder, "train") | other, tmp_path / "out")


def test_an_existing_data_set_is_not_overwritten(folder, tmp_path):
    sources = sources_of(folder, "val")
    builder.prepare_records("folder", sources, tmp_path / "out")
    with pytest.raises(DataError, match="already holds"):
        builder.prepare_records("folder", sources, tmp_path / "out")


def test_a_label_map_changed_after_preparation_is_refused_on_opening(folder, tmp_path):
    root, _ = builder.prepare_records("folder", sources_of(folder, "train"), tmp_path / "out")
    names = next(root.glob("*.labels.txt"))
    names.write_text("\n".join(reversed(names.read_text().split())) + "\n")
    with pytest.raises(DataError, match=r"class 0 of .* was 'a'"):
        open_source(DataConfig(root=str(root)), "train")


def test_label_map_of_another_size_is_refused(tmp_path):
    labelmap.save(tmp_path, ("a", "b"))
    with pytest.raises(DataError, match=r"2 classes .* names 3"):
        labelmap.check(tmp_path, ("a", "b", "c"))
    labelmap.check(tmp_path, ("a", "b"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_are_the_same_for_any_number_of_threads(folder, tmp_path):
    sources = sources_of(folder, "train", "val")
    encoded = {"storing": Storing(encoding=Encoding(), videos_per_shard=2)}
    one, _ = builder.prepare_records("folder", sources, tmp_path / "one", runner=Runner(threads=1), **encoded)
    three, _ = builder.prepare_records("folder", sources, tmp_path / "three", runner=Runner(threads=3), **encoded)
    assert contents(one) == contents(three)
    assert len(list(one.glob("*train.array_record*"))) == 3


def test_the_files_are_the_same_from_any_process(folder, tmp_path):
    """Without deterministic serialisation, each process would order the features of a record differently."""
    script = """if True:
        import sys
        from vidjax.config import DataConfig
        from vidjax.data.open import open_source
        from vidjax.data.prepare import builder
        source = open_source(DataConfig(root=sys.argv[1]), "train")
        print(builder.prepare_records("folder", {"train": source}, sys.argv[2])[0])"""
    found = []
    for name in ("one", "two", "three"):
        run = [sys.executable, "-c", script, str(folder), str(tmp_path / name)]
        out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        found.append(contents(pathlib.Path(out.splitlines()[-1])))
    assert found[0] == found[1] == found[2]


def test_an_interrupted_preparation_is_not_a_data_set_and_resumes_where_it_stopped(folder, tmp_path):
    sources, seen = sources_of(folder, "train", "val"), []
    whole, _ = builder.prepare_records("folder", sources, tmp_path / "whole", storing=TWO_PER_SHARD)

    def stop_at_the_fourth(split):
        seen.append(split)
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder.prepare_records("folder", sources, tmp_path / "out", storing=TWO_PER_SHARD, on_video=stop_at_the_fourth)
    with pytest.raises(DataError):
        open_source(DataConfig(root=str(tmp_path / "out")), "train")
    finished = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob(".preparing-*/train-00000")}
    assert len(finished) == 1
    again = []
    resumed, failures = builder.prepare_records(
        "folder", sources, tmp_path / "out", storing=TWO_PER_SHARD, on_video=again.append
    )
    assert failures == []
    assert len(again) == 6
    assert contents(resumed) == contents(whole)
    (first,) = resumed.glob("*train.array_record-00000-of-*")
    assert first.stat().st_mtime_ns == finished["train-00000"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["folder_videos"]


def test_a_preparation_interrupted_while_naming_files_resumes(folder, tmp_path, monkeypatch):
    sources = sources_of(folder, "train", "val")
    whole, _ = builder.prepare_records("folder", sources, tmp_path / "whole", storing=TWO_PER_SHARD)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(builder.labelmap, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            builder.prepare_records("folder", sources, tmp_path / "out", storing=TWO_PER_SHARD)
    assert not (tmp_path / "out" / "folder_videos").exists()
    again = []
    options = {"storing": TWO_PER_SHARD, "on_video": again.append}
    resumed, _ = builder.prepare_records("folder", sources, tmp_path / "out", **options)
    assert len(again) == 6
    assert contents(resumed) == contents(whole)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["folder_videos"]


def test_a_machine_that_finishes_a_shard_late_changes_nothing(folder, tmp_path):
    """Like the worker of a cluster whose command was killed and run again."""
    sources, begun = sources_of(folder, "train", "val"), []
    whole, _ = builder.prepare_records("folder", sources, tmp_path / "whole", storing=TWO_PER_SHARD)

    def overtake(split):
        if not begun:
            begun.append(split)
            builder.prepare_records("folder", sources, tmp_path / "out", storing=TWO_PER_SHARD)

    with pytest.raises(DataError, match="cannot be written"):
        builder.prepare_records("folder", sources, tmp_path / "out", storing=TWO_PER_SHARD, on_video=overtake)
    assert contents(tmp_path / "out" / "folder_videos" / "1.0.0") == contents(whole)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["folder_videos"]


def test_records_in_a_bucket_are_those_of_a_disk_also_after_an_interruption(folder, tmp_path):
    """Some shards are finished when it is interrupted first, and one has its final name the second time."""
    sources, seen = sources_of(folder, "train", "val"), []
    whole, _ = builder.prepare_records("folder", sources, tmp_path / "whole", storing=TWO_PER_SHARD)

    def stop_at_the_fifth(split):
        seen.append(split)
        if len(seen) == 5:
            raise KeyboardInterrupt

    def stop_at_the_second(path, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        return rename(path, target)

    with bucket.emulated() as address:
        out = f"{address}/records"
        with pytest.raises(KeyboardInterrupt):
            builder.prepare_records("folder", sources, out, storing=TWO_PER_SHARD, on_video=stop_at_the_fifth)
        assert 0 < len([name for name in bucket.objects(out) if name.endswith(".json")]) < 4
        moved, kind, again = [], type(located(out)), []
        rename = kind.rename
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "rename", stop_at_the_second)
            with pytest.raises(KeyboardInterrupt):
                builder.prepare_records("folder", sources, out, storing=TWO_PER_SHARD)
        staged = DataConfig(root=out, stage=str(tmp_path / "stage"))
        with pytest.raises(DataError):
            open_source(staged, "train")
        options = {"storing": TWO_PER_SHARD, "on_video": again.append}
        records, failures = builder.prepare_records("folder", sources, out, **options)
        assert (os.fspath(records), failures) == (f"{out}/folder_videos/1.0.0", [])
        assert bucket.objects(out) == {f"folder_videos/1.0.0/{name}": data for name, data in contents(whole).items()}
        assert len(open_source(DataConfig(root=out, stage=str(tmp_path / "whole stage")), "train")) == 5
        with pytest.raises(DataError, match="already holds a data set"):
            builder.prepare_records("folder", sources, out)


def test_a_bucket_that_cannot_be_written_is_one_sentence(folder, monkeypatch):
    def fails(self, *words, **options):
        raise OSError("403, no permission")

    sources = sources_of(folder, "val")
    with bucket.emulated() as address:
        import gcsfs

        monkeypatch.setattr(gcsfs.GCSFileSystem, "put_file", fails)
        with pytest.raises(DataError, match="val-00000 cannot be written: 403, no permission"):
            builder.prepare_records("folder", sources, f"{address}/records")


def test_other_settings_do_not_resume_earlier_work(folder, tmp_path):
    def stop(split):
        raise KeyboardInterrupt

    sources = sources_of(folder, "train")
    for storing in (Storing(), Storing(encoding=Encoding()), Storing(encoding=Encoding(crf=30))):
        with pytest.raises(KeyboardInterrupt):
            builder.prepare_records("folder", sources, tmp_path / "out", storing=storing, on_video=stop)
    assert len(list((tmp_path / "out").glob(".preparing-*"))) == 3


def test_a_shard_whose_videos_all_fail_leaves_no_empty_file(folder, tmp_path):
    for path in (folder / "train" / "a").iterdir():
        path.write_bytes(b"not a video")
    root, failures = builder.prepare_records(
        "folder", sources_of(folder, "train"), tmp_path / "out", storing=Storing(videos_per_shard=1)
    )
    records = open_source(DataConfig(root=str(root)), "train")
    assert (len(records), len(failures)) == (2, 3)
    assert {records[i].label for i in range(2)} == {1}
    assert len(list(root.glob("*array_record*"))) == 2
    np.testing.assert_array_equal(records.rows_of_class(1), [0, 1])
