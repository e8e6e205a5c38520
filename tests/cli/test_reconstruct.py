"""`vidjax reconstruct` draws input, visible and reconstructed frames, and discloses the use of true statistics."""

import json
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from vidjax.cli import main


def draw(videos, source, out, *options):
    return main(["reconstruct", videos[0], "--model", source, "--stride", "2", "--out", str(out), *options])


def test_pictures_are_written_and_named(autoencoder, videos, tmp_path, capsys):
    assert draw(videos, autoencoder, tmp_path / "new" / "folder", "--mask-ratio", "0.75") == 0
    shown = capsys.readouterr()
    png, gif, mp4 = shown.out.split()
    assert png == str(tmp_path / "new" / "folder" / "reconstruction.png")
    assert Image.open(png).width > 400
    assert Image.open(gif).n_frames == 8
    with av.open(mp4) as video:
        assert len(list(video.decode(video=0))) == 8
    assert "8 frames (every 2nd frame of the video); 75.0% of the cubes are hidden by a tube mask" in shown.err


def test_without_a_folder_each_video_has_one_of_its_name(autoencoder, videos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "again").mkdir()
    for target in ("a.mp4", "again/a.mp4", "b.mp4"):
        shutil.copy(videos[0], target)

    def drawn(*words):
        assert main(["reconstruct", *words, "--model", autoencoder, "--stride", "2"]) == 0
        return [path.removesuffix("/reconstruction.png") for path in capsys.readouterr().out.split()[::3]]

    assert drawn("a.mp4") == ["reconstructions/a"]
    assert drawn("a.mp4", "b.mp4") == ["reconstructions/a", "reconstructions/b"]
    assert drawn("a.mp4", "again/a.mp4", "--out", "both") == ["both/a.mp4", "both/again/a.mp4"]
    assert (tmp_path / "both/again/a.mp4/reconstruction.gif").is_file()


def test_a_broken_video_among_several_is_reported_and_the_others_are_shown(autoencoder, videos, tmp_path, capsys):
    (tmp_path / "empty.mp4").write_bytes(b"")
    words = ["reconstruct", videos[0], str(tmp_path / "empty.mp4"), "--model", autoencoder, "--stride", "2"]
    assert main([*words, "--out", str(tmp_path / "o")]) == 3
    shown = capsys.readouterr()
    assert "empty.mp4 is not shown: empty" in shown.err
    assert len(shown.out.split()) == 3


def test_the_use_of_the_true_mean_and_deviation_is_disclosed(autoencoder, plain_autoencoder, videos, tmp_path, capsys):
    assert draw(videos, autoencoder, tmp_path / "a") == 0
    assert "shown with the true mean and deviation of each patch" in capsys.readouterr().err
    assert draw(videos, plain_autoencoder, tmp_path / "b") == 0
    said = capsys.readouterr().err
    assert "only hidden patches are predicted, as pixels" in said
    assert "true mean" not in said


@pytest.mark.parametrize(("mask", "share"), [("tube", "50.0%"), ("random", "50.0%"), ("frame", "50.0%")])
def test_masks_hide_the_share_that_is_asked_for(autoencoder, videos, tmp_path, capsys, mask, share):
    assert draw(videos, autoencoder, tmp_path, "--mask", mask, "--mask-ratio", ".5") == 0
    assert f"{share} of the cubes are hidden by a {mask} mask" in capsys.readouterr().err


def test_several_ratios_are_drawn_one_under_the_other_with_the_error_of_each(autoencoder, videos, tmp_path, capsys):
    assert draw(videos, autoencoder, tmp_path / "one", "--mask-ratio", "0.5", "--json") == 0
    [one] = json.loads(capsys.readouterr().out)
    assert draw(videos, autoencoder, tmp_path / "two", "--ratios", "0.5", "0.75", "--json") == 0
    shown = capsys.readouterr()
    [two] = json.loads(shown.out)
    assert "50.0%, 75.0% of the cubes are hidden by a tube mask" in shown.err
    assert "hide the same share" not in shown.err
    assert [entry["ratio"] for entry in two["hidden"]] == [0.5, 0.75]
    assert two["hidden"][0]["error"] == pytest.approx(one["hidden"][0]["error"])
    assert Image.open(two["png"]).height > 1.5 * Image.open(one["png"]).height


def test_ratios_that_hide_the_same_share_are_noted(autoencoder, videos, tmp_path, capsys):
    """Eight frames in tubelets of two are four slices, of which a frame mask hides two or three."""
    assert draw(videos, autoencoder, tmp_path, "--mask", "frame", "--ratios", "0.5", "0.55", "0.75") == 0
    said = capsys.readouterr().err
    assert "50.0%, 50.0%, 75.0% of the cubes are hidden by a frame mask" in said
    assert "note: some of these ratios hide the same share, rounded to whole units of a frame mask" in said


def test_the_seed_draws_the_mask(autoencoder, videos, tmp_path):
    pictures = []
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert draw(videos, autoencoder, tmp_path / folder, "--seed", seed) == 0
        pictures.append(np.asarray(Image.open(tmp_path / folder / "reconstruction.png")))
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--mask-ratio", "1"], "--mask-ratio=1.0 hides 36 of the 36 units of a tube mask"),
        (["--mask-ratio", "0"], "--mask-ratio=0.0 hides 0 of the 36 units of a tube mask"),
        (["--mask-ratio", "most"], "argument --mask-ratio: invalid float value: 'most'"),
        (["--ratios", "0.5", "1"], "--ratios=1.0 hides 36 of the 36 units of a tube mask"),
        (["--ratios", "0.5", "--mask-ratio", "0.9"], "--ratios and --mask-ratio both set the share to hide"),
        (["--mask", "attention"], "argument --mask: invalid choice: 'attention'"),
        (["--mask", "cell"], "argument --mask: invalid choice: 'cell'"),
    ],
)
def test_invalid_masks_are_rejected(autoencoder, videos, tmp_path, capsys, options, sentence):
    assert draw(videos, autoencoder, tmp_path / "out", *options) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_refused_before_the_model_is_read(videos, capsys):
    assert draw(videos, "nobody/nothing", videos[0]) == 2
    assert f"{videos[0]} cannot be a folder because {videos[0]} is a file; choose another" in capsys.readouterr().err


def test_pictures_do_not_replace_the_video_that_is_drawn(autoencoder, videos, tmp_path, capsys):
    video = tmp_path / "reconstruction.mp4"
    shutil.copy(videos[0], video)
    assert draw([str(video)], autoencoder, tmp_path) == 2
    assert f"would overwrite the input {video}" in capsys.readouterr().err


def test_a_classifier_is_refused_with_what_it_can_do(classifier, videos, tmp_path, capsys):
    assert draw(videos, classifier, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert (
        "holds a videomae classifier, which has no decoder to reconstruct with; classify with `vidjax predict`" in said
    )


def test_a_broken_video_has_the_exit_code_of_one_that_is_not_answered(autoencoder, tmp_path, capsys):
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert main(["reconstruct", str(tmp_path / "empty.mp4"), "--model", autoencoder, "--out", str(tmp_path / "o")]) == 3
    assert "empty.mp4 is not shown: empty: " in capsys.readouterr().err
