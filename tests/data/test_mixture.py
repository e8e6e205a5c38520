"""A mixture of sources: its shares, its order for any number of hosts, resuming, layouts and refusals."""

import collections
import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from videos import encode, flip_bits, moving_texture

from vidjax.config import DataConfig, SourceConfig
from vidjax.data import open_source, train_batches
from vidjax.data.interleave import Interleaved
from vidjax.data.mixtures import check_mixture
from vidjax.data.prepare import builder
from vidjax.data.sources.annotations import NOTHING
from vidjax.errors import ConfigError, DataError

WEIGHTS = {"folder": 0.335, "list": 0.1, "records": 0.565}
COUNTS = {"folder": 7, "list": 3, "records": 4}  # videos of each


def write(path, seed, frames=6, side=(32, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(moving_texture(frames, *side, seed=seed)))
    return path


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A folder without classes, a list with classes elsewhere, and records; every video is another one."""
    root = tmp_path_factory.mktemp("sources")
    for number in range(7):
        write(root / f"folder/deep/{number}.mp4", number)
    lines = [f"{write(root / f'elsewhere/{number}.webm.mp4', 10 + number)} {number % 2}" for number in range(3)]
    (root / "list.csv").write_text("".join(f"{line}\n" for line in lines))
    for number in range(4):
        write(root / f"raw/train/{'ab'[number % 2]}/{number}.mp4", 20 + number)
    write(root / "raw/val/a/0.mp4", 30)
    raw = open_source(DataConfig(root=str(root / "raw")), "train")
    records, _ = builder.prepare_records("folder", {"train": raw}, root / "records")
    return {"folder": str(root / "folder"), "list": str(root / "list.csv"), "records": str(records)}


@pytest.fixture(scope="module")
def data(roots):
    splits = {"folder": "all", "list": "all", "records": ""}  # records have only a training split
    sources = {name: SourceConfig(WEIGHTS[name], root=roots[name], split=splits[name]) for name in roots}
    return DataConfig(
        mixture=sources, num_frames=2, stride=2, image_size=16, global_batch=8, clips_per_decode=2, flip=0.5,
        crop="random_resized", workers=0,
    )  # fmt: skip


def take(data, count, annotation=NOTHING, **options):
    batches = train_batches(open_source(data, "train", annotation), data, seed=3, **options)
    taken = [{key: np.array(value) for key, value in batch.items()} for batch in itertools.islice(batches, count)]
    batches.close()
    return taken


def joined(parts):
    """The global batches of several hosts."""
    return [{key: np.concatenate([part[key] for part in step]) for key in step[0]} for step in zip(*parts, strict=True)]


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for key, value in other.items():
            np.testing.assert_array_equal(batch[key], value, err_msg=key)


@pytest.fixture(scope="module")
def expected(data):
    return take(data, 12)


def oracle(weights, positions):
    """The source of each position, in NumPy: each in turn takes its share of the positions left, evenly spaced."""
    left, chosen = np.arange(positions), np.full(positions, -1)
    for number in range(len(weights)):
        share = Fraction(str(weights[number])) / sum(Fraction(str(weight)) for weight in weights[number:])
        kept = np.array([math.floor(place * (1 - share)) for place in range(len(left) + 1)])
        mine = np.diff(kept) == 0
        chosen[left[mine]] = number
        left = left[~mine]
    return chosen


@pytest.mark.parametrize("weights", [(0.335, 0.1, 0.565), (1, 1), (3,), (0.001, 0.999), (5, 1, 1, 7, 1e-3), (1e9, 3)])
def test_sources_are_drawn_in_proportion_to_their_weights_however_few_positions(weights):
    total = sum(Fraction(str(weight)) for weight in weights)
    order = Interleaved([Fraction(str(weight)) / total for weight in weights], 2**47)
    chosen = np.array([order[place][0] for place in range(4000)])
    np.testing.assert_array_equal(chosen, oracle(weights, 4000))
    for number, weight in enumerate(weights):
        share = weight / float(total)
        counts, places = np.cumsum(chosen == number), np.arange(1, 4001)
        assert np.abs(counts - places * share).max() <= len(weights)
        # A random draw would stay within four standard deviations; this order is never further from the shares.
        assert (np.abs(counts - places * share) <= len(weights) + 4 * np.sqrt(places * share * (1 - share))).all()
        nth = [order[place][1] for place in np.flatnonzero(chosen == number)]
        assert nth == list(range(len(nth)))


def test_far_positions_are_found_without_those_before_them():
    order = Interleaved([Fraction(1, 3), Fraction(2, 3)], 2**47)
    far = 3 * 10**12
    chosen = [order[far + place] for place in range(300)]
    assert collections.Counter(number for number, _ in chosen) == {0: 100, 1: 200}
    assert {nth for number, nth in chosen if not number} == set(range(10**12, 10**12 + 100))


def test_an_epoch_has_as_many_videos_as_all_sources(data):
    source = open_source(data, "train", NOTHING)
    assert len(source) == sum(COUNTS.values())
    assert [(part.name, len(part.source)) for part in source.parts] == [*COUNTS.items()]
    assert [row.id.split("/")[0] for row in map(source.__getitem__, range(14))] == [
        name for name, count in COUNTS.items() for _ in range(count)
    ]


def test_batches_have_the_shares_and_every_source_shows_all_its_videos_in_turn(data, expected):
    rows = np.concatenate([batch["index"][::2] for batch in expected])
    sources = np.concatenate([batch["source"][::2] for batch in expected])
    np.testing.assert_array_equal(sources, oracle([*WEIGHTS.values()], len(rows)))
    firsts = np.cumsum([0, *COUNTS.values()])
    passes = 0
    for number, count in enumerate(COUNTS.values()):
        own = rows[sources == number] - firsts[number]
        for start in range(0, len(own) - count + 1, count):
            assert sorted(own[start : start + count]) == list(range(count))
            passes += 1
    assert passes > 15
    records = rows[sources == 2].tolist()
    assert len({tuple(records[start : start + 4]) for start in range(0, 48, 4)}) > 3  # every pass has its own order


@pytest.mark.parametrize("hosts", [2, 4])
def test_global_batches_do_not_depend_on_the_number_of_hosts(data, expected, hosts):
    assert_same(joined([take(data, 4, process=(host, hosts)) for host in range(hosts)]), expected[:4])


def test_global_batches_do_not_depend_on_workers(data, expected):
    assert_same(take(dataclasses.replace(data, workers=2), 3), expected[:3])


@pytest.mark.parametrize("step", [1, 5])  # 14 videos are 1.75 steps
def test_a_resumed_run_repeats_the_batches_to_the_bit(data, expected, step):
    assert_same(take(data, 3, start_step=step), expected[step : step + 3])
    parts = [take(data, 3, start_step=step, process=(host, 2)) for host in range(2)]
    assert_same(joined(parts), expected[step : step + 3])


def test_another_weight_changes_neither_the_order_within_a_source_nor_its_videos(data):
    sources = data.mixture | {"list": dataclasses.replace(data.mixture["list"], weight=0.4)}
    more = dataclasses.replace(data, mixture=sources)
    orders = []
    for of in (data, more):
        batches = take(of, 6)
        rows, numbers = (np.concatenate([batch[key][::2] for batch in batches]) for key in ("index", "source"))
        orders.append(rows[numbers == 2].tolist())
    shortest = min(map(len, orders))
    assert shortest > 16
    assert orders[0][:shortest] == orders[1][:shortest]


def test_a_source_without_weight_is_not_opened(data, expected):
    gone = SourceConfig(0.0, root="/nowhere")
    assert_same(take(dataclasses.replace(data, mixture=data.mixture | {"aaa": gone}), 2), expected[:2])


def test_a_video_that_fails_is_replaced_by_one_of_its_source(data, roots, tmp_path):
    for number in range(3):
        write(tmp_path / f"mine/{number}.mp4", 40 + number)
    broken = tmp_path / "mine/1.mp4"
    broken.write_bytes(flip_bits(broken.read_bytes(), 60))
    sources = {"mine": SourceConfig(1.0, root=str(tmp_path / "mine"), split="all"), "list": data.mixture["list"]}
    batches = take(dataclasses.replace(data, mixture=sources), 6)
    failed = np.concatenate([batch["failed"] for batch in batches])
    assert set(failed[failed >= 0]) == {4}  # after the three rows of `list`
    for batch in batches:
        replaced = batch["index"][(batch["failed"] >= 0).any(axis=1)]
        assert set(replaced.tolist()) <= {3, 5}
        np.testing.assert_array_equal(batch["source"], batch["index"] >= 3)


def of(tmp_path, **folders):
    """Class folders, one video per class, and the mixture of them."""
    for name, classes in folders.items():
        for number, label in enumerate(classes):
            for split in ("train", "val"):
                write(tmp_path / name / split / label / "1.mp4", number)
    sources = {name: SourceConfig(root=str(tmp_path / name)) for name in folders}
    return DataConfig(mixture=sources, num_frames=2, stride=1, image_size=16, global_batch=4, workers=0)


def test_sources_with_the_same_classes_are_classified_together(tmp_path):
    data = of(tmp_path, one=("run", "sit"), two=("run", "sit"))
    source = open_source(data, "train")
    assert (source.labels, source.num_classes) == (("run", "sit"), 2)
    np.testing.assert_array_equal(source.row_labels(), [0, 1, 0, 1])
    [batch] = take(data, 1, annotation="label")
    np.testing.assert_array_equal(batch["label"], batch["index"] % 2)
    np.testing.assert_array_equal(batch["source"], [0, 1, 0, 1])


def test_classes_are_balanced_within_each_source(tmp_path):
    data = dataclasses.replace(of(tmp_path, one=("run", "sit"), two=("run", "sit")), balance="classes")
    for number in range(2, 5):
        write(tmp_path / f"one/train/run/{number}.mp4", 50 + number)
    rows = np.concatenate([batch["index"] for batch in take(data, 8, annotation="label")])
    assert collections.Counter(rows[rows < 5].tolist())[4] == 8  # half of the 16 of `one` show the only `sit`
    assert len(rows[rows < 5]) == len(rows[rows >= 5]) == 16


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("run", "swim"), r"class 1 is 'sit' in data.mixture.one and 'swim' in data.mixture.two; classification needs"),
        (("run",), r"data.mixture.one has 2 classes and data.mixture.two 1; classification needs the same classes"),
    ],
)
def test_sources_with_other_classes_are_refused(tmp_path, other, message):
    with pytest.raises(DataError, match=message):
        open_source(of(tmp_path, one=("run", "sit"), two=other), "train")


def test_a_source_without_class_names_beside_one_with_names_is_refused(tmp_path):
    data = of(tmp_path, one=("run", "sit"))
    for split in ("train", "val"):
        lines = [f"{tmp_path}/one/{split}/{name}/1.mp4 {number}\n" for number, name in enumerate(("run", "sit"))]
        put = tmp_path / "two" / f"{split}.csv"
        put.parent.mkdir(exist_ok=True)
        put.write_text("".join(lines))
    data = dataclasses.replace(data, mixture=data.mixture | {"two": SourceConfig(root=str(tmp_path / "two"))})
    with pytest.raises(DataError, match=r"class 0 is 'run' in data.mixture.one and without a name in data.mixture.two"):
        open_source(data, "train")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"a": SourceConfig(0.0), "b": SourceConfig(0.0)}, r"the weights of data.mixture \(a, b\) are all 0"),
        ({"a": SourceConfig(float("inf"))}, r"data.mixture.a.weight=inf must be a finite number"),
        ({"a.b": SourceConfig()}, r"data.mixture names a source 'a.b'; use letters"),
        (
            {"a": SourceConfig(root="/videos"), "b": SourceConfig(), "c": SourceConfig(root="/videos/")},
            r"data.mixture.a and data.mixture.c are the same videos, /videos/; keep one of them",
        ),
    ],
)
def test_a_mixture_that_cannot_be_drawn_from_is_refused(sources, message):
    with pytest.raises(ConfigError, match=message):
        check_mixture(DataConfig(mixture=sources))


def test_two_splits_of_a_root_are_two_sources():
    sources = {split: SourceConfig(root="/videos", split=split) for split in ("train", "val")}
    check_mixture(DataConfig(mixture=sources))


def test_an_empty_or_missing_source_is_named(data, tmp_path):
    (tmp_path / "empty").mkdir()
    for root, message in (
        (str(tmp_path / "empty"), rf"data.mixture.mine: data.mixture.mine.root={tmp_path}/empty is an empty folder"),
        (str(tmp_path / "gone"), r"data.mixture.mine: .*set --config.data.mixture.mine.root=DIR"),
        ("", r"data.mixture.mine: data.mixture.mine.root is empty; set --config.data.mixture.mine.root=DIR"),
    ):
        mine = data.mixture | {"mine": SourceConfig(root=root)}
        with pytest.raises(DataError, match=message):
            open_source(dataclasses.replace(data, mixture=mine), "train", NOTHING)


def test_validation_videos_come_from_the_heaviest_source_unless_a_root_is_named(roots, tmp_path):
    for name in ("light", "heavy", "other"):
        write(tmp_path / name / "val" / name / "1.mp4", 1)
        write(tmp_path / name / "train" / name / "1.mp4", 2)
    sources = {name: SourceConfig(weight, root=str(tmp_path / name)) for name, weight in (("light", 1), ("heavy", 2))}
    data = DataConfig(mixture=sources)
    assert "heavy" in open_source(data, "val", NOTHING)[0].id
    named = dataclasses.replace(data, root=str(tmp_path / "other"))
    assert "other" in open_source(named, "val", NOTHING)[0].id
    assert len(open_source(named, "train", NOTHING)) == 2
