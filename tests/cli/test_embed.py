"""`vidjax embed`: features of videos in a folder, resumed, divided into shares, and user errors."""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vidjax.cli import main
from vidjax.data import motion_videos
from vidjax.data.datasets import motion
from vidjax.evaluation.features import writer
from vidjax.evaluation.features.store import FeatureStore
from vidjax.training.convert import save_as_run
from vidjax.weights.backbones import load_backbone

MODEL = ("--model", "random:videomae_tiny", "--num-frames", "4", "--image-size", "16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of three training videos each, the last of them cut off."""
    spec = motion_videos.MotionSpec(train_videos=6, test_videos=0, val_videos=0)
    made = pathlib.Path(motion_videos.prepare(str(tmp_path_factory.mktemp("data") / "motion"), spec))
    root = tmp_path_factory.mktemp("videos")
    for number, line in enumerate(motion_videos.annotations(str(made))):
        target = root / "train" / "ab"[number // 3] / f"{number}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        content = (made / line["video"]).read_bytes()
        target.write_bytes(content if number < 5 else content[: len(content) // 2])
    return root


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(writer, "PART_ROWS", (1, 2))


def embed(data, out, *words, model=MODEL):
    return main(["embed", *model, "--data", str(data), "--out", str(out), *words])


def test_features_of_a_folder_and_what_a_second_call_says(folder, tmp_path, capsys):
    assert embed(folder, tmp_path / "out") == 3
    shown = capsys.readouterr()
    out = tmp_path / "out"
    assert shown.out == (
        f"{out}: features of 6 videos; token_mean has the shape (6, 96)\n"
        f"read them with vidjax.evaluation.features.store.FeatureStore.open('{out}').array('token_mean'), or probe "
        f"them: vidjax probe --train {out} --test ANOTHER --out DIR\n"
    )
    assert FeatureStore.open(out).array("token_mean").shape == (6, 96)
    assert re.search(r"train/b/5.mp4 has no features: (truncated|corrupt)", shown.err)
    assert (
        "5 of 6 rows have token_mean (96), token_max (96), width_mean (8), pooled (96), float16, of 4 frames"
        in shown.err
    )
    store = FeatureStore.open(tmp_path / "out")
    assert (store.decoded.tolist(), store.labels.tolist()) == ([True] * 5 + [False], [0, 0, 0, 1, 1, 1])
    assert embed(folder, tmp_path / "out", "--json") == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rows"], answer["computed"], answer["complete"], answer["missing_parts"]) == (6, 0, True, [])
    assert answer["arrays"] == {"token_mean": [96], "token_max": [96], "width_mean": [8], "pooled": [96]}
    assert [failure["id"] for failure in answer["failures"]] == ["train/b/5.mp4"]
    assert embed(folder, tmp_path / "out") == 3
    assert "all features already existed; nothing was computed" in capsys.readouterr().err


def test_shares_make_the_store_of_one_call_and_the_command_of_the_message_finishes_it(
    folder, tmp_path, capsys, small_parts
):
    words = ("--features", "tokens,pooled", "--stride", "2", "--dtype", "float32", "--batch", "8")
    assert embed(folder, tmp_path / "whole", *words) == 3
    capsys.readouterr()
    assert embed(folder, tmp_path / "shared", *words, "--share", "1/2") == 0
    assert "1 of 3 parts exist, the rest belong to other shares" in capsys.readouterr().err
    for _ in range(2):  # the second finds its parts done
        assert embed(folder, tmp_path / "other", *words, "--share", "0/2") == 3
        said = capsys.readouterr().err
        assert "train/b/5.mp4 has no features" in said
        assert "2 of 3 parts exist, the rest belong to other shares" in said
    with pytest.raises(Exception, match="it has 1 of 3 parts; finish it with `vidjax embed ") as refused:
        FeatureStore.open(tmp_path / "shared")
    command = re.search("`vidjax (.*)`", str(refused.value))[1]
    assert main(shlex.split(command)) == 3
    assert "2 rows already existed; 4 were computed" in capsys.readouterr().err
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "shared")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        pytest.param(signal.SIGTERM, 143, (), marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, ("--workers", "1"), marks=pytest.mark.slow),
        (signal.SIGKILL, -9, ()),
    ],
)
def test_ended_in_the_middle_it_keeps_its_parts_and_a_second_start_completes_the_store(
    folder, tmp_path, small_parts, number, code, words
):
    assert embed(folder, tmp_path / "whole", *words) == 3
    out, parts = tmp_path / "out", "part-*.safetensors"
    slowly = (
        "import sys, time\nfrom vidjax.evaluation.features import writer\n"
        "writer.PART_ROWS, write = (1, 2), writer.write_part\n"
        "writer.write_part = lambda *part: (time.sleep(1), write(*part))\n"
        "from vidjax.cli import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"  # loader workers import it again
    )
    (tmp_path / "slowly.py").write_text(slowly)
    command = [sys.executable, tmp_path / "slowly.py", "embed", *MODEL, "--data", folder, "--out", out, *words]
    process = subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(out.glob(parts)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None  # it was still at work
    since, kept = time.monotonic(), {path.name for path in out.glob(parts)}
    os.killpg(process.pid, number)  # as a terminal or a scheduler does: loader processes get it too
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, "Traceback" in said) == (code, False), said
    assert time.monotonic() - since < 5
    assert kept <= {path.name for path in out.glob(parts)}
    assert len(list(out.glob(parts))) < 3
    assert embed(folder, out, *words) == 3
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("whole", "out")]
    assert files[0] == files[1]


def test_videos_are_named_as_for_predict(folder, tmp_path, monkeypatch, capsys, small_parts):
    """A pattern in quotes, files, folders and lists; the same videos give the same features however they are named."""
    monkeypatch.chdir(folder)
    (tmp_path / "list.txt").write_text("\n".join(str(folder / "train" / "a" / f"{number}.mp4") for number in (0, 1, 2)))
    named = {
        "pattern": ["train/a/*.mp4"],
        "files": [f"train/a/{number}.mp4" for number in (0, 1, 2)],
        "mixed": ["train/a/0.mp4", str(tmp_path / "list.txt")],
        "folders": ["train/a", "train/b"],
    }
    stores = {}
    for name, words in named.items():
        code = main(["embed", *MODEL, "--data", *words, "--out", str(tmp_path / name)])
        assert code == (3 if name == "folders" else 0)  # one in b is cut off
        stores[name] = FeatureStore.open(tmp_path / name)
    assert stores["pattern"].ids == tuple(named["files"])
    assert [len(store.ids) for store in stores.values()] == [3, 3, 4, 6]
    for name in ("files", "mixed", "folders"):
        ours = stores[name].array("pooled")[-3:] if name == "mixed" else stores[name].array("pooled")[:3]
        np.testing.assert_array_equal(ours, stores["pattern"].array("pooled"))
    assert "--data train/a train/b" in stores["folders"].header.command("out")
    assert "--data 'train/a/*.mp4'" in (command := stores["pattern"].header.command(tmp_path / "again"))
    assert main(shlex.split(command)[1:]) == 0
    assert FeatureStore.open(tmp_path / "again").header == stores["pattern"].header
    capsys.readouterr()
    assert main(["embed", *MODEL, "--data", "train/a/*.mp4", "--split", "val", "--out", str(tmp_path / "no")]) == 2
    assert "--split is for a data set, but --data names videos" in capsys.readouterr().err
    assert main(["embed", *MODEL, "--data", "train/c/*.mp4", "--out", str(tmp_path / "no")]) == 2
    assert "nothing matches the pattern train/c/*.mp4" in capsys.readouterr().err


def test_numbers_to_predict_and_handwriting_come_with_the_rows(tmp_path, monkeypatch, capsys):
    spec = motion_videos.MotionSpec(train_videos=4, test_videos=0, val_videos=0)
    root = motion_videos.prepare(str(tmp_path / "motion"), spec)
    monkeypatch.setattr(motion, "write_videos", lambda folder, split: root)
    assert embed("motion", tmp_path / "out", "--task", "regression") == 0
    store = FeatureStore.open(tmp_path / "out")
    lines = motion_videos.annotations(root)
    np.testing.assert_allclose(store.targets, [line["velocity"] for line in lines], rtol=1e-6)
    glyphs = [motion_videos.draw_clip(spec, "train", number).glyph for number in range(4)]
    assert store.groups.tolist() == [f"handwriting {glyph}" for glyph in glyphs]
    assert store.header.data["labels"] == ["velocity_right", "velocity_down"]
    assert "--data motion --split train --task regression" in store.header.command("out")


def test_a_run_at_frames_per_second_embeds_such_clips(folder, tmp_path, capsys):
    model = load_backbone("random:videomae_tiny", num_frames=2, image_size=16)
    recipe = dataclasses.replace(model.clip_recipe, fps=5.0, sampling="dense")
    save_as_run(dataclasses.replace(model, clip_recipe=recipe), tmp_path / "run")
    assert embed(folder, tmp_path / "out", model=("--model", str(tmp_path / "run"))) == 3
    header = FeatureStore.open(tmp_path / "out").header
    assert header.clip["fps"] == 5.0
    assert header.window_seconds(30.0) == header.window_seconds(7.5) == 0.4
    assert "--stride" not in header.command("out")  # the option would replace the rate


def test_a_runs_clips_are_taken_as_it_was_trained(folder, tmp_path, capsys):
    model = load_backbone("random:timesformer_tiny", num_frames=2, image_size=16)
    recipe = dataclasses.replace(model.clip_recipe, stride=3, sampling="dense", interpolation="area")
    save_as_run(dataclasses.replace(model, clip_recipe=recipe), tmp_path / "run")
    assert embed(folder, tmp_path / "out", model=("--model", str(tmp_path / "run"))) == 3
    store = FeatureStore.open(tmp_path / "out")
    assert [store.header.clip[key] for key in ("stride", "num_frames", "image_size")] == [3, 2, 16]
    assert store.header.clip["interpolation"] == "area"
    assert store.header.backbone["family"] == "timesformer"
    assert store.array("cls").shape == (6, 96)
    capsys.readouterr()
    assert embed(folder, tmp_path / "out", model=(*MODEL[:2], "--num-frames", "2", "--image-size", "16")) == 2
    error = capsys.readouterr().err
    assert re.search(
        r"out holds other features: backbone was .*run \(weights \w{8}\), is now random:videomae_tiny", error
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "motoin"], "--data=motoin is neither a folder nor the name of a data set; did you mean 'motion'?"),
        (["--data", "kinetics400"], "--data=kinetics400 needs --root=DIR"),
        (
            ["--data", "elsewhere", "--root", "there"],
            "--root is for a named data set, and --data=elsewhere",
        ),
        (["--data", "synthetic", "--share", "2/2"], "--share=2/2 must be K/P with K from 0 to P - 1"),
        (["--data", "synthetic", "--batch", "-1"], "--batch=-1 must be at least 0"),
        (["--data", "synthetic", "--image-size", "0"], "--image-size=0 must be at least 1"),
        (["--data", "synthetic", "--image-size", "20"], "a frame side of 20 pixels is not a multiple of patch_size=8"),
        (
            ["--data", "synthetic", "--features", "token_maen"],
            "has no feature 'token_maen'; a videomae has ",
        ),
        (["--data", "synthetic", "--task", "regression"], "rows of data.name=synthetic carry label, not target"),
        (["--data", "synthetic", "--out", __file__], "cannot be a folder"),
        (["--data", "synthetic", "--model", "random:videomae_tinny"], "did you mean 'videomae_tiny'?"),
        (["--data", "synthetic", "--feature", "cls"], "embed has no option --feature; did you mean --features?"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(words, told, tmp_path, capsys):
    given = ["--model", "random:videomae_tiny", "--out", str(tmp_path / "out"), *words]
    assert main(["embed", *given]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
