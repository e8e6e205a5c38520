"""What a run reports and records about its videos: how they were read, and what cannot be learned from them."""

import json
import types

import pytest
from videos import encode, moving_texture

from vidjax.config import DataConfig
from vidjax.data import open_source
from vidjax.data.sources.annotations import LABEL, NOTHING
from vidjax.main import main
from vidjax.training.reading import keep_reading, say_reading


def put(root, *names, frames=12):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(frames, 32, 48, seed=number)))


def told(root, tmp_path, capsys, annotation=LABEL):
    data = DataConfig(root=str(root))
    source, val = (open_source(data, split, annotation) for split in ("train", "val"))
    evaluator = types.SimpleNamespace(source=val, validated=val) if annotation else None
    say_reading(source, evaluator)
    keep_reading(source, evaluator, tmp_path)
    return capsys.readouterr().err


def test_a_run_reports_and_records_how_its_videos_were_read(tmp_path, capsys):
    put(tmp_path / "set", *(f"{label}/{number}.mp4" for label in ("run", "sit") for number in range(10)))
    said = told(tmp_path / "set", tmp_path, capsys)
    assert said.startswith(f"{tmp_path}/set: 20 videos in 2 class folders; ")
    assert "warning" not in said
    kept = json.loads((tmp_path / "data.json").read_text())
    assert kept["classes"] == {"run": 0, "sit": 1}
    assert len(kept["splits"]["train"]) + len(kept["splits"]["val"]) == 20
    assert [kept[side]["videos"] for side in ("train", "validation")] == [*map(len, kept["splits"].values())]
    assert kept["sentence"] in said


def test_empty_class_folders_are_reported_and_recorded(tmp_path, capsys):
    put(tmp_path / "set", *(f"{label}/{number}.mp4" for label in ("run", "sit") for number in range(10)))
    assert "ignored" not in told(tmp_path / "set", tmp_path, capsys)
    (tmp_path / "set" / "jump").mkdir()
    (tmp_path / "set" / "jump" / "notes.txt").touch()
    assert "; a folder holds no videos and is ignored: jump\n" in told(tmp_path / "set", tmp_path, capsys)
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / "set" / name).mkdir()
    said = told(tmp_path / "set", tmp_path, capsys)
    assert "; folders hold no videos and are ignored: a, b, c, d, e and 1 more\n" in said
    kept = json.loads((tmp_path / "data.json").read_text())
    assert kept["empty_folders"] == ["a", "b", "c", "d", "e", "jump"]
    assert kept["classes"] == {"run": 0, "sit": 1}


def test_a_single_class_or_too_few_videos_give_a_warning_where_classes_are_learned(tmp_path, capsys):
    put(tmp_path / "one", "train/run/1.mp4", "train/run/2.mp4", "val/run/3.mp4")
    assert "warning: there is only one class, 'run', so a loss of 0" in told(tmp_path / "one", tmp_path, capsys)
    put(tmp_path / "few", "run/1.mp4", "run/2.mp4", "sit/3.mp4", "sit/4.mp4")
    assert "warning: 2 of 2 classes have fewer than 5 videos" in told(tmp_path / "few", tmp_path, capsys)
    assert "warning" not in told(tmp_path / "few", tmp_path, capsys, NOTHING)


def run(config, root, workdir, *words):
    flags = ("--config.data.name=folder", f"--config.data.root={root}", f"--workdir={workdir}")
    fast = ("--config.train.steps=2", "--config.optim.warmup_steps=1", "--config.data.global_batch=8")
    return main(["vidjax", f"--config=configs/{config}.py:smoke", *flags, *fast, *words])


@pytest.mark.slow
def test_a_flat_folder_is_pre_trained_on_and_class_folders_are_classified(tmp_path, capsys):
    from vidjax.cli import main as command

    put(tmp_path / "flat", *(f"{number}.mp4" for number in range(10)), frames=20)
    put(tmp_path / "classes", *(f"{'abc'[number % 3]}/{number}.mp4" for number in range(12)), frames=20)
    assert run("videomae_k400", tmp_path / "flat", tmp_path / "pretrain") == 0
    assert (tmp_path / "pretrain/pictures/reconstruction.png").is_file()  # of a held-out video
    assert run("finetune_k400", tmp_path / "flat", tmp_path / "refused") == 2
    assert "there are no classes to learn. Sort the videos into a folder for each class" in capsys.readouterr().err
    views, start = ("--config.eval.clips=1", "--config.eval.crops=1"), f"--config.init_from={tmp_path / 'pretrain'}"
    assert run("finetune_k400", tmp_path / "classes", tmp_path / "finetune", *views, start) == 0
    results = json.loads((tmp_path / "finetune/results.json").read_text())
    assert "eval/top1" in results
    assert "eval/top5" not in results
    assert run("finetune_k400", tmp_path / "classes", tmp_path / "finetune", *views, "--config.mode=evaluate") == 0
    assert (
        command(
            [
                "embed",
                "--model",
                str(tmp_path / "pretrain"),
                "--data",
                str(tmp_path / "flat"),
                "--out",
                str(tmp_path / "f"),
            ]
        )
        == 0
    )
    assert "10 of 10 rows have" in capsys.readouterr().err
    assert run("finetune_k400", tmp_path / "classes", tmp_path / "finetune", "--config.data.val_fraction=0.5") == 2
    assert "data.val_fraction was 0.2, is now 0.5" in capsys.readouterr().err
