"""`vidjax attention` draws where a model looks; its numbers match the library's for the middle clip."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

import vidjax
from vidjax.cli import main
from vidjax.data.clips.eval_views import protocol_views
from vidjax.evaluation.attention import attention_maps


def draw(videos, source, out, *options):
    return main(["attention", *videos, "--model", source, "--stride", "2", "--out", str(out), *options])


def test_pictures_and_numbers_are_written_and_named(classifier, videos, tmp_path, capsys):
    assert draw(videos[:1], classifier, tmp_path / "new" / "folder") == 0
    shown = capsys.readouterr()
    paths = shown.out.split()
    assert paths == [f"{tmp_path}/new/folder/attention.{kind}" for kind in ("png", "gif", "mp4", "npz")]
    assert Image.open(paths[0]).width > 400
    assert Image.open(paths[1]).n_frames == 8
    assert "8 frames (every 2nd frame of the video); maps: roll-out; attention, layer 3" in shown.err

    model = vidjax.from_pretrained(classifier)
    [clip] = protocol_views(videos[0], dataclasses.replace(model.clips.one_view(), stride=2))
    wanted, found = attention_maps(model, clip), np.load(paths[3])
    assert set(found) == {"rollout", "attention"}
    assert found["attention"].shape == (3, 4, 4, 6, 6)
    np.testing.assert_allclose(found["rollout"], wanted.rollout, atol=1e-6)
    np.testing.assert_allclose(found["attention"], wanted.layers["attention"], atol=1e-6)


def test_an_autoencoder_is_shown_one_layer_and_one_head(autoencoder, videos, tmp_path, capsys):
    assert draw(videos[:1], autoencoder, tmp_path, "--layer", "1", "--head", "4", "--json") == 0
    shown = capsys.readouterr()
    assert "roll-out; attention, layer 1, head 4" in shown.err
    [entry] = json.loads(shown.out)
    assert sorted(entry) == ["gif", "mp4", "npz", "png", "video"]


def test_a_broken_video_among_several_is_reported_and_the_others_have_a_folder_each(
    autoencoder, videos, tmp_path, capsys
):
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert draw([*videos[:2], str(tmp_path / "empty.mp4")], autoencoder, tmp_path / "o") == 3
    shown = capsys.readouterr()
    assert "empty.mp4 is not shown: empty" in shown.err
    assert len(list((tmp_path / "o").glob("*/attention.mp4"))) == 2


@pytest.mark.parametrize("out", ["/proc/maps-of-attention", "a" * 300])
def test_an_unwritable_folder_gives_a_message(autoencoder, videos, tmp_path, monkeypatch, capsys, out):
    monkeypatch.chdir(tmp_path)
    assert draw(videos[:1], autoencoder, out) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vidjax: ")
    assert "nothing can be written in /proc" in last or "File name too long; choose a shorter name" in last


def test_pictures_do_not_replace_the_video_that_is_drawn(autoencoder, videos, tmp_path, capsys):
    video = tmp_path / "attention.mp4"
    shutil.copy(videos[0], video)
    assert draw([str(video)], autoencoder, tmp_path) == 2
    assert f"would overwrite the input {video}" in capsys.readouterr().err
    assert video.read_bytes() == pathlib.Path(videos[0]).read_bytes()


def test_videos_of_one_name_have_folders_that_differ_and_paths_do_not_steer_the_terminal(
    autoencoder, videos, tmp_path, capsys
):
    names = ["one/a.mp4", "two\x1b[2J/a.mp4"]
    for name in names:
        (tmp_path / name).parent.mkdir()
        shutil.copy(videos[0], tmp_path / name)
    asked = [str(tmp_path / name) for name in (*names, names[0])]
    assert draw(asked, autoencoder, tmp_path / "o") == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.removeprefix(f"{tmp_path}/o/") for line in shown[::4]] == [
        "one/a.mp4/attention.png", "two\\x1b[2J/a.mp4/attention.png",
    ]  # fmt: skip
    assert all((tmp_path / "o" / name / "attention.npz").is_file() for name in names)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--layer", "4"], "--layer=4: the maps of this model have layers 1 to 3"),
        (["--layer", "0"], "--layer=0: the maps of this model have layers 1 to 3"),
        (["--head", "5"], "--head=5: the maps of this model have heads 1 to 4"),
        (["--stride", "-1"], "--stride=-1 must be at least 1"),
    ],
)
def test_missing_layers_and_heads_are_rejected(autoencoder, videos, tmp_path, capsys, options, sentence):
    assert draw(videos[:1], autoencoder, tmp_path / "out", *options) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
