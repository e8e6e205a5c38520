"""`vidjax embed --every --window --npy`: what it writes and says, shares, a kill, other machines, and user errors."""

import json
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from videos import encode, moving_texture

import vidjax
from vidjax.cli import embed_job, main
from vidjax.evaluation.features import cluster
from vidjax.evaluation.features.store import FeatureStore
from vidjax.evaluation.features.writer import Storage, StoreWriter

MODEL = ("--model", "random:videomae_tiny", "--num-frames", "4", "--image-size", "16")
WINDOWS = ("--every", "0.4", "--window", "0.8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six videos of 1.6 s, one of them cut off, and one of 0.4 s."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(7):
        content = encode(moving_texture(4 if number == 6 else 16, 16, 16, seed=number), rate=10)
        (root / f"{number}.mp4").write_bytes(content[: len(content) // 2] if number == 5 else content)
    return root


def embed(data, out, *words, windows=WINDOWS):
    return main(["embed", *MODEL, *windows, "--data", str(data), "--out", str(out), *words])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("stores") / "whole"
    assert embed(folder, out) == 3
    return out


def test_the_written_files_and_messages(folder, tmp_path, capsys):
    out, npy = tmp_path / "out", tmp_path / "npy"
    assert embed(folder, out, "--npy", str(npy)) == 3
    shown = capsys.readouterr()
    assert shown.out == (
        f"{out}: features of 16 windows of 7 videos; token_mean has the shape (16, 96)\n"
        f"read them with store = vidjax.evaluation.features.store.FeatureStore.open('{out}'): "
        "store.array('token_mean', [0]) and store.times(0) are of the first row\n"
        f"{npy}: 6 arrays, such as 0.npy with its times in 0.json\n"
    )
    assert re.search(r"5.mp4 has no features: (truncated|corrupt)", shown.err)
    assert (
        "note: 1 of 7 videos are shorter than a window of 0.8 s, the first of them 6.mp4 (0.4 s); each has one"
        in shown.err
    )
    arrays = "token_mean (96), token_max (96), width_mean (8), pooled (96)"
    assert f"6 of 7 rows have 16 windows in all, with {arrays}" in shown.err
    assert "float16; one window every 0.4 s, each of 4 frames spread over 0.8 s" in shown.err
    store = FeatureStore.open(out)
    assert store.times(0).tolist() == [[0, 0.8], [0.4, 1.2], [0.8, 1.6]]
    np.testing.assert_array_equal(np.load(npy / "0.npy"), store.array("pooled", [0]))
    assert embed(folder, out, "--json", "--npy", str(npy)) == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["computed"], answer["complete"], answer["npy"]) == (0, True, ["0", "1", "2", "3", "4", "6"])
    assert answer["windows"] == {
        "every": 0.4, "length": 0.8, "count": 16, "shorter_videos": [{"id": "6.mp4", "seconds": 0.4}],
    }  # fmt: skip


def test_the_first_of_the_features_asked_for_is_written_as_arrays(folder, tmp_path):
    assert embed(folder, tmp_path / "out", "--features", "width_mean,tokens", "--npy", str(tmp_path / "npy")) == 3
    assert np.load(tmp_path / "npy" / "0.npy").shape == (3, 8)
    assert json.loads((tmp_path / "npy" / "0.json").read_text())["feature"] == "width_mean"


def test_shares_make_the_store_of_one_call_and_the_last_writes_the_arrays(folder, whole, tmp_path, capsys):
    out, npy = tmp_path / "out", ("--npy", str(tmp_path / "npy"))
    assert embed(folder, out, "--share", "1/2", *npy) == 3  # the broken video is in it
    shown = capsys.readouterr()
    assert "3 of 7 parts exist, the rest belong to other shares; rows have token_mean" in shown.err
    assert f"{tmp_path / 'npy'}: the share that completes the store writes the arrays" in shown.out
    assert not (tmp_path / "npy").exists()
    assert embed(folder, out, "--share", "0/2", *npy) == 3
    assert contents(out) == contents(whole)
    assert len(list((tmp_path / "npy").glob("*.npy"))) == 6


def test_the_command_in_the_message_of_a_partial_store_finishes_it(folder, whole, tmp_path):
    embed(folder, tmp_path / "out", "--share", "0/2")
    with pytest.raises(Exception, match="it has 4 of 7 parts; finish it with `vidjax embed ") as refused:
        FeatureStore.open(tmp_path / "out")
    command = re.search("`vidjax (.*)`", str(refused.value))[1]
    assert "--every 0.4 --window 0.8" in command
    assert main(shlex.split(command)) == 3
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow), (signal.SIGKILL, -9)]
)
def test_ended_in_the_middle_it_keeps_its_parts_and_a_second_start_completes_the_store(
    folder, whole, tmp_path, number, code
):
    out, parts = tmp_path / "out", "part-*.safetensors"
    slowly = (
        "import sys, time\nfrom vidjax.evaluation.features import writer\n"
        "write = writer.write_part\n"
        "writer.write_part = lambda *part: (time.sleep(1), write(*part))\n"
        "from vidjax.cli import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    (tmp_path / "slowly.py").write_text(slowly)
    command = [sys.executable, tmp_path / "slowly.py", "embed", *MODEL, *WINDOWS, "--data", folder, "--out", out]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob(parts)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None  # it was still at work
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, "Traceback" in said) == (code, False), said
    assert 0 < len(list(out.glob(parts))) < 7
    assert embed(folder, out) == 3
    assert contents(out) == contents(whole)


def test_other_machines_write_the_same_parts(folder, whole, tmp_path, monkeypatch):
    """A cluster gets the job pickled, and any machine writes any part."""
    arguments = vidjax.cli.parse(["embed", *MODEL, *WINDOWS, "--data", str(folder), "--out", str(tmp_path / "out")])
    job = pickle.loads(pickle.dumps(embed_job.EmbedJob.of(arguments, "folder", str(folder), []).for_other_machines()))
    storage = Storage(str(tmp_path / "out"))
    owner = StoreWriter(*job(), storage)
    work = cluster._WritePart(job, storage, 0, repr(owner.header.facts()))
    for part in (6, 0, 3, 5, 1, 2, 4):
        pickle.loads(pickle.dumps(work))(part)
    assert contents(tmp_path / "out") == contents(whole)


def test_a_runs_own_stride_makes_the_windows_without_a_length(folder, tmp_path, capsys):
    assert embed(folder, tmp_path / "out", "--stride", "2", windows=("--every", "0.4")) == 3
    assert "one window every 0.4 s, each of 4 frames (every 2nd frame of the video)" in capsys.readouterr().err
    store = FeatureStore.open(tmp_path / "out")
    assert store.times(0).tolist() == [[0, 0.8], [0.4, 1.2], [0.8, 1.6]]  # 4 frames, every 2nd, at 10 per second
    assert embed(folder, tmp_path / "one", windows=("--window", "0.8")) == 3
    assert FeatureStore.open(tmp_path / "one").times(0).tolist() == [[0, 0.8], [0.8, 1.6]]


def test_the_store_can_be_checked_and_not_probed(whole, tmp_path, capsys):
    assert main(["check", str(whole)]) == 0
    shown = capsys.readouterr().out
    assert f"{whole}: features by random:videomae_tiny of 7 rows, 16 windows in 7 parts: token_mean (96)" in shown
    assert "5.mp4 has no features: " in shown
    assert "nothing is missing, and every array is as written" in shown
    assert main(["probe", "--train", str(whole), "--test", str(whole), "--out", str(tmp_path / "probe")]) == 2
    error = capsys.readouterr().err
    assert "holds a feature per window, and probes take one per video; embed without --every and --window" in error
    assert not (tmp_path / "probe").exists()


def test_a_damaged_or_partial_store_fails_its_check(folder, whole, tmp_path, capsys):
    embed(folder, tmp_path / "out", "--share", "0/2")
    part = tmp_path / "out" / "part-00002.safetensors"
    content = bytearray(part.read_bytes())
    content[-9] ^= 1
    part.write_bytes(content)
    capsys.readouterr()
    assert main(["check", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().out
    assert "part-00002.safetensors is damaged (" in shown
    assert "3 of 7 parts are missing; compute them with `vidjax embed --model random:videomae_tiny" in shown
    assert main(["check", str(tmp_path / "out"), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["complete"], len(answer["problems"]), answer["windows"]) == (False, 2, 7)
    assert main(["check", str(folder)]) != 0  # a folder of videos is still one


def test_a_model_in_python_gives_the_features_of_the_command(folder, tmp_path):
    assert embed(folder, tmp_path / "out", "--dtype", "float32") == 3
    store, model = FeatureStore.open(tmp_path / "out"), embed_job._backbone(job_of(folder))
    found = model.embed(folder / "0.mp4", every=0.4, window=0.8)
    assert set(found) == {"token_mean", "token_max", "width_mean", "pooled", "times"}
    np.testing.assert_array_equal(found["times"], store.times(0))
    for name in set(found) - {"times"}:  # the batches differ in size: the last bits may too
        np.testing.assert_allclose(found[name], store.array(name, [0]), atol=2e-5 * np.abs(found[name]).max())
    whole = model.embed(folder / "0.mp4", features=["pooled"])
    assert whole["pooled"].shape == (96,)
    with pytest.raises(vidjax.errors.ConfigError, match=r"window of 3 s is longer than .*0.mp4, which has 1.6 s; ask"):
        model.embed(folder / "0.mp4", window=3)
    with pytest.raises(vidjax.errors.ConfigError, match="every=-1 must be above 0 seconds"):
        model.embed(folder / "0.mp4", every=-1)


def job_of(folder):
    arguments = vidjax.cli.parse(["embed", *MODEL, "--data", str(folder), "--out", "out"])
    return embed_job.EmbedJob.of(arguments, "folder", str(folder), [])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--every", "0"], "--every=0 must be above 0 seconds"),
        (["--window", "-1"], "--window=-1 must be above 0 seconds"),
        (["--every", "nan"], "--every=nan must be above 0 seconds"),
        (["--window", "1", "--stride", "2"], "stride=2 sets how far apart frames are, window=1 spreads them over that"),
        (
            ["--window", "2"],
            "a window of 2 s is longer than the longest of 6 videos, which has 1.6 s; ask for a shorter",
        ),
        (["--every", "1", "--workers", "2"], "--workers=2: windows are decoded by threads; leave --workers out"),
        (["--npy", "arrays"], "--npy=arrays writes features of windows; add --every or --window"),
        (["--every", "1", "--npy", "out"], "--npy=out is also --out; name two folders"),
        (["--every", "1", "--npy", __file__], "cannot be a folder"),
        (
            ["--every", "1", "--npy", "arrays", "--features", "tokens"],
            "--npy writes one vector per window, not tokens; put another of --features first",
        ),
        (["--every", "1", "--data", "synthetic"], "has synthetic frames, over which no windows slide; give videos"),
        (["--every", "1", "--batch", "3"], "a batch of 3 clips is not a multiple of the 8 devices here; use 8"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(words, told, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["embed", *MODEL, "--data", str(folder), "--out", "out", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())
