"""A data set in a user's own module: CONTRIBUTING's example verbatim, and rows of a source defined outside."""

import json
import pathlib
import re
import sys
import textwrap

import numpy as np
import pytest
from miniatures import SMALL, first, put

from vidjax.cli import main
from vidjax.config import DataConfig, from_dict
from vidjax.data import open_source
from vidjax.errors import ConfigError

NAME = "toy_dataset:DATASET"
CONTRIBUTING = pathlib.Path(__file__).parents[3] / "CONTRIBUTING.md"


@pytest.fixture
def toys(videos, tmp_path, monkeypatch):
    """The root of the toys, and the module of CONTRIBUTING in a folder of PYTHONPATH."""
    (example,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text().split("## Add a data set")[1], re.DOTALL)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "toy_dataset.py").write_text(example)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.delitem(sys.modules, "toy_dataset", raising=False)
    root = tmp_path / "toys"
    for number in range(6):
        put(videos[f"train_{number:05d}"][0], root / "videos" / f"toy{number}.mp4")
    (root / "train.txt").write_text("".join(f"toy{n} {('car', 'train')[n % 2]}\n" for n in range(4)))
    (root / "val.txt").write_text("toy4 train\ntoy5 car\n")
    return root


def rows(root, split):
    source = open_source(DataConfig(name=NAME, root=str(root)), split)
    return source, {source[index].id: source[index].label for index in range(len(source))}


def test_it_is_opened_by_its_module_and_loader_processes_read_it(toys):
    assert from_dict({"data": {"name": NAME}}).data.name == NAME
    source, labels = rows(toys, "train")
    assert (source.labels, source.num_classes) == (("car", "train"), 2)
    assert list(labels.values()) == [0, 1, 0, 1]
    batch = first(source, workers=1)
    assert batch["video"].shape == (4, 4, 32, 32, 3)
    assert batch["label"].tolist() == [labels[source[int(index)].id] for index in batch["index"]]


def test_it_is_checked_like_the_built_in_data_sets(toys, capsys):
    assert main(["check", NAME, f"--root={toys}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["splits"]
    assert [(about["split"], about["layout"], about["class_counts"]) for about in found] == [
        ("train", "official annotations", {"car": 2, "train": 2}),
        ("val", "official annotations", {"car": 1, "train": 1}),
    ]
    (toys / "videos" / "toy4.mp4").unlink()
    (toys / "train.txt").write_text("toy0 lorry\n")
    assert main(["check", NAME, f"--root={toys}", "--json"]) == 1
    train, val = json.loads(capsys.readouterr().out)["splits"]
    assert "train.txt, line 1: 'toy0 lorry' is not `<video> <class>`" in train["problems"][0]
    assert [pathlib.Path(path).name for path in val["missing"]] == ["toy4.mp4"]


def test_its_records_hold_the_same_rows(toys, tmp_path, capsys):
    assert main(["prepare", NAME, f"--root={toys}", f"--out={tmp_path / 'out'}", "--runner=threads"]) == 0
    records = capsys.readouterr().out.strip().removeprefix("data.root=")
    for split in ("train", "val"):
        (official, labels), (stored, of_records) = rows(toys, split), rows(records, split)
        assert (stored.labels, of_records) == (official.labels, labels)


def test_its_videos_can_be_embedded(toys, tmp_path, capsys):
    words = ["--model=random:videomae_tiny", "--num-frames=4", "--image-size=16", f"--out={tmp_path / 'features'}"]
    assert main(["embed", *words, f"--data={NAME}", f"--root={toys}", "--split=val", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rows"], answer["computed"]) == (2, 2)


def test_a_name_that_points_nowhere_gives_one_sentence(toys, capsys):
    data = DataConfig(name="toy_dataset:DATSET", root=str(toys))
    with pytest.raises(ConfigError, match="module 'toy_dataset' has no 'DATSET'; it has DATASET"):
        open_source(data, "train")
    assert main(["check", "toy_datset:DATASET", f"--root={toys}"]) == 2
    assert "there is no module 'toy_datset'" in capsys.readouterr().err


def test_rows_of_a_source_defined_outside_can_be_sent_to_loader_processes(videos, tmp_path, monkeypatch):
    (tmp_path / "toy_speeds.py").write_text(
        textwrap.dedent("""
            from vidjax.data.datasets import DatasetSpec
            from vidjax.data.sources.annotations import TARGET
            from vidjax.data.sources.in_memory import InMemorySource
            from vidjax.data.sources.rows import Row


            class Speeds(InMemorySource):
                def __getitem__(self, index):
                    row = super().__getitem__(index)
                    return Row(row.video, row.label, row.id, target=(2 * row.target[0],))


            def open_split(root, split, data, annotation):
                rows = [Row(f"{root}/{n}.mp4", 0, str(n), target=(float(n),)) for n in range(4)]
                return Speeds(f"speeds/{split}", rows, annotation=TARGET, labels=("speed",))


            SPEEDS = DatasetSpec("Speeds", "<n>.mp4", (TARGET,), target_names=("speed",), open_split=open_split)
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in range(4):
        put(videos[f"train_{number:05d}"][0], tmp_path / "speeds" / f"{number}.mp4")
    data = DataConfig(name="toy_speeds:SPEEDS", root=str(tmp_path / "speeds"), **SMALL)
    batch = first(open_source(data, "train", "target"), workers=1)
    assert batch["target"].dtype == np.float32
    np.testing.assert_array_equal(batch["target"][:, 0], 2.0 * batch["index"])
