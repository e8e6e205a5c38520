"""The feature store: interrupted and resumed, written by several hosts, and what it refuses."""

import shutil
import signal
import subprocess
import sys

import embed_worker
import numpy as np
import pytest
from embed_worker import RECIPE, Colours, colours, data_of, embed
from processes import run_both
from videos import encode, moving_texture

from vidjax.data.clips.augment import eval_crops
from vidjax.data.clips.sampling import eval_indices
from vidjax.data.open import open_source
from vidjax.data.sources.rows import Row
from vidjax.data.video.decode import read_frames
from vidjax.errors import ConfigError, DataError, ResumeError
from vidjax.evaluation.features import extraction
from vidjax.evaluation.features.parts import write_part
from vidjax.evaluation.features.store import FeatureStore, check_pair

BROKEN = "train/b/05.mp4"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Ten training videos in two classes, one of them broken, and three validation videos."""
    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 10), ("val", 3)):
        for number in range(count):
            path = root / split / "ab"[number // 5] / f"{number:02d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(moving_texture(12, 32, 40, seed=number + 100 * (split == "val"))))
    (root / BROKEN).write_bytes((root / BROKEN).read_bytes()[:2000])
    return root


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """A store written by a single call."""
    folder = tmp_path_factory.mktemp("stores") / "whole"
    assert embed(videos, folder)[1:] == (10, [], [(BROKEN, "truncated")], [])
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_features_are_those_of_the_central_view_of_each_video(videos, whole):
    store, recipe = FeatureStore.open(whole), RECIPE
    source = open_source(data_of(videos), "train")
    assert len(store) == len(source) == 10
    tokens, mean, pooled = (store.array(name) for name in embed_worker.NAMES)
    assert (tokens.shape, mean.shape, pooled.shape, tokens.dtype) == ((10, 2, 3), (10, 3), (10, 3), np.float32)
    for number in range(10):
        row = source[number]
        assert (store.ids[number], store.labels[number], store.groups[number]) == (row.id, row.label, row.id)
        if row.id == BROKEN:
            continue
        frames = read_frames(row.video, eval_indices(12, 10.0, recipe)[0])
        expected = eval_crops(frames, recipe)[0].astype(np.float64).mean((1, 2)) * 0.5
        np.testing.assert_allclose(tokens[number], expected, rtol=1e-3)  # float16
        np.testing.assert_allclose(mean[number], expected.mean(0), rtol=1e-3)
        np.testing.assert_allclose(pooled[number], expected.max(0), rtol=1e-3)
    np.testing.assert_array_equal(store.array("tokens", [9, 0, 4]), tokens[[9, 0, 4]])
    assert store.targets.shape == (10, 0)
    assert store.header.data["labels"] == ["a", "b"]


def test_a_video_that_cannot_be_decoded_is_in_the_store_with_its_reason(whole):
    store = FeatureStore.open(whole)
    broken = store.ids.index(BROKEN)
    assert store.reasons[broken] == "truncated"
    assert [n for n, decoded in enumerate(store.decoded) if not decoded] == [broken]
    assert not store.array("tokens")[broken].any()
    assert [reason for reason in store.reasons if reason] == ["truncated"]


@pytest.mark.parametrize("rows", [1, 6])
def test_a_killed_and_resumed_call_writes_the_bytes_of_an_uninterrupted_one(videos, whole, tmp_path, rows):
    folder = tmp_path / "store"
    worker = [sys.executable, embed_worker.__file__, str(videos), str(folder), str(rows)]
    assert subprocess.run(worker, capture_output=True).returncode == -signal.SIGKILL
    written = {path.name for path in folder.glob("part*")}
    assert written == {f"part-{part:05d}.safetensors" for part in range(rows // 4)}
    (folder / ".part-00002.safetensors.0123.part").write_bytes(b"half")  # left by a kill while writing
    with pytest.raises(DataError, match=rf"is incomplete: it has {len(written)} of 3 parts; finish it with"):
        FeatureStore.open(folder)
    assert embed(videos, folder)[1:3] == (10 - 4 * len(written), [])
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_hosts_write_the_store_of_one(videos, whole, tmp_path, order):
    rows = {0: 6, 1: 4}  # parts 0 and 2, and part 1
    first, last = order
    assert embed(videos, tmp_path, process=(first, 2))[1] == rows[first]
    with pytest.raises(DataError, match=rf"{len(contents(tmp_path)) - 1} of 3 parts; finish it with"):
        FeatureStore.open(tmp_path)
    assert embed(videos, tmp_path, process=(last, 2))[1:3] == (rows[last], [])
    assert contents(tmp_path) == contents(whole)


def test_every_call_reports_every_row_so_that_a_bar_fills(videos, tmp_path):
    for process in ((1, 2), (0, 1), (0, 1)):
        told = []
        embed(videos, tmp_path / "store", process=process, on_row=told.append)
        assert sum(told) == 10


def test_the_processes_of_one_job_share_the_work_at_the_same_time(videos, whole, tmp_path):
    words = videos, tmp_path / "store", 100
    answers = run_both(embed_worker.__file__, lambda rank, port: (*words, rank, 2, port))
    assert [out.split() for out in answers] == [["6"], ["4"]]
    assert contents(tmp_path / "store") == contents(whole)


def test_another_number_of_hosts_resumes_a_store(videos, whole, tmp_path):
    assert embed(videos, tmp_path, process=(2, 3))[1:3] == (2, [0, 1])
    assert embed(videos, tmp_path)[1:3] == (8, [])
    assert contents(tmp_path) == contents(whole)


def test_a_second_call_computes_nothing_and_touches_nothing(videos, whole, monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("a video was asked for")

    monkeypatch.setattr(extraction, "eval_batches", fail)
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
    assert embed(videos, whole)[1:3] == (0, [])
    assert {path: path.stat().st_mtime_ns for path in whole.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"backbone": colours(0.6)},
            r"backbone was colours \(weights \w{8}\), is now colours \(",
        ),
        ({"backbone": colours(0.6, "greys")}, r"backbone was colours \(.*\), is now greys \("),
        (
            {"backbone": colours(mean=(0.0, 0.5, 0.5))},
            r"clip.mean was \[0.5, 0.5, 0.5\]",
        ),
        ({"backbone": colours(stride=2)}, r"clip.stride was 3, is now 2\. "),
        ({"backbone": colours(interpolation="bicubic")}, "clip.interpolation was bilinear, is now bicubic"),
        (
            {"split": "val"},
            "split was train, is now val; content of .*; number of rows was 10, is now 3",
        ),
        ({"names": ("tokens",)}, r"arrays.token_mean was \(3,\), is now not there; arrays.pooled"),
        ({"names": (*embed_worker.NAMES, "width_mean")}, r"arrays.width_mean was not there, is now \(2,\)"),
        ({"dtype": "float32"}, "dtype was float16, is now float32"),
        ({"rows_per_part": 5}, "rows_per_part was 4, is now 5"),
    ],
)
def test_other_features_in_the_same_folder_are_refused(videos, whole, change, told):
    before = contents(whole)
    with pytest.raises(ResumeError, match=f"whole holds other features: .*{told}"):
        embed(videos, whole, **change)
    assert contents(whole) == before


def test_a_changed_data_set_is_refused(videos, whole, tmp_path):
    other = shutil.copytree(videos, tmp_path / "videos")
    (other / "train" / "a" / "00.mp4").write_bytes(encode(moving_texture(20, 32, 40)))
    with pytest.raises(ResumeError, match=r"other features: content of the data set was \w{16}, is now \w{16}\. "):
        embed(other, whole)
    same = shutil.copytree(videos, tmp_path / "moved")  # the same videos in another place
    assert embed(same, whole)[1:3] == (0, [])


def test_two_stores_that_do_not_match_are_refused(videos, whole, tmp_path):
    embed(videos, tmp_path / "val", split="val")
    train, val = FeatureStore.open(whole), FeatureStore.open(tmp_path / "val")
    check_pair(train, val)
    embed(videos, tmp_path / "other", colours(1, "greys", stride=1), split="val")
    with pytest.raises(ConfigError, match=r"backbone is colours \(.*\) in .*whole, greys \(.*; clip.stride is 3"):
        check_pair(train, FeatureStore.open(tmp_path / "other"))


def test_values_too_large_for_float16_are_refused_with_their_row_or_kept_as_float32(videos, tmp_path):
    strong = Colours(np.float32(3000))
    with pytest.raises(
        DataError, match=r"pooled of train/a/00.mp4 reaches \d{6}, but the largest float16 is 65504; store"
    ):
        embed(videos, tmp_path / "half", strong)
    embed(videos, tmp_path / "single", strong, dtype="float32")
    embed(videos, tmp_path / "weak", dtype="float32")
    strong, weak = (FeatureStore.open(tmp_path / name).array("tokens") for name in ("single", "weak"))
    assert strong.max() > 65504
    np.testing.assert_allclose(strong, weak * 6000, rtol=1e-5)


def test_features_that_are_not_finite_become_a_reason(videos, tmp_path):
    embed(videos, tmp_path, Colours(np.float32(np.nan)))
    store = FeatureStore.open(tmp_path)
    assert set(store.reasons) == {"not_finite", "truncated"}
    assert not store.decoded.any()
    assert not store.array("pooled").any()


def test_a_folder_without_features_and_a_damaged_part_are_named(videos, whole, tmp_path):
    with pytest.raises(
        DataError, match=r"holds no features, since it has no features.json; `vidjax embed` writes them"
    ):
        FeatureStore.open(tmp_path)
    broken = shutil.copytree(whole, tmp_path / "broken")
    part = broken / "part-00001.safetensors"
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"part-00001.safetensors is damaged \(.*\); remove it and write it again with"):
        FeatureStore.open(broken)
    with pytest.raises(ConfigError, match="has no cls, only tokens, token_mean, pooled; write another store"):
        FeatureStore.open(whole).array("cls")
    (broken / "features.json").write_text("{}")
    with pytest.raises(
        DataError, match=r"features.json is not a header of features \(.*\); restore it, or embed into another folder"
    ):
        FeatureStore.open(broken)


def test_a_flipped_bit_is_noticed_anywhere(whole, tmp_path):
    """A hundred flips over header and parts: each is refused, or hits a place that does not matter."""
    rng, found, harmless = np.random.default_rng(0), 0, 0
    store = FeatureStore.open(whole)
    wanted = (store.header, store.ids, store.labels.tolist(), [store.array(name) for name in store.header.arrays])
    for number in range(100):
        folder = shutil.copytree(whole, tmp_path / str(number))
        path = rng.choice(sorted(folder.iterdir()))
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            store = FeatureStore.open(folder)
            read = (store.header, store.ids, store.labels.tolist(), [store.array(name) for name in store.header.arrays])
        except DataError:
            found += 1
            continue
        np.testing.assert_equal(read, wanted)
        harmless += 1
    assert found + harmless == 100
    assert found >= 95  # a tab instead of a space between two entries of JSON is harmless


def test_targets_and_groups_are_those_of_the_rows(tmp_path, whole):
    header = FeatureStore.open(whole).header
    shutil.copy(whole / "features.json", tmp_path)
    for part in range(3):
        rows = [
            Row(None, 0, f"r{n}", target=(n / 10, -1.0), group="" if n == 7 else f"g{n % 2}")
            for n in header.rows_of(part)
        ]
        arrays = {name: np.zeros((len(rows), *shape), np.float16) for name, shape in header.arrays.items()}
        write_part(tmp_path, part, arrays, rows, [""] * len(rows))
    store = FeatureStore.open(tmp_path)
    np.testing.assert_allclose(store.targets, [(n / 10, -1.0) for n in range(10)], rtol=1e-6)
    assert store.groups.tolist() == ["g0", "g1", "g0", "g1", "g0", "g1", "g0", "r7", "g0", "g1"]
    assert store.decoded.all()


def test_invalid_options_are_refused(videos, tmp_path):
    with pytest.raises(ConfigError, match="colours has no feature 'cls'; a colours has tokens, token_mean"):
        embed(videos, tmp_path, names=("cls",))
    with pytest.raises(ConfigError, match="features are stored as float16 or float32, not as 'int8'"):
        embed(videos, tmp_path, dtype="int8")
    with pytest.raises(ConfigError, match="a batch of 6 clips is not a multiple of the 8 devices here; use 8"):
        embed(videos, tmp_path / "batch", batch=6)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be created: Not a directory"):
        embed(videos, tmp_path / "file" / "store")


def test_parts_fit_into_memory(videos, tmp_path):
    class Wide(Colours):
        def outputs(self, params, clips):
            return {"tokens": super().outputs(params, clips)["tokens"][..., :1] * np.ones(2**20, np.float32)}

    wide = embed(videos, tmp_path / "wide", Wide(), split="val", names=("tokens",), rows_per_part=0)
    assert wide.header.rows_per_part == 32  # rows of 4 MiB each
    means = embed(videos, tmp_path / "means", Wide(), split="val", names=("width_mean",), rows_per_part=0)
    assert means.header.rows_per_part == 256


def test_by_default_a_store_has_all_arrays_except_the_tokens(videos, tmp_path):
    assert set(embed(videos, tmp_path, split="val", names=()).header.arrays) == {
        "token_mean",
        "token_max",
        "width_mean",
        "pooled",
    }
