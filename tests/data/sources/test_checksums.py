"""Checksums of video files: `sha256sum` agrees with the list, and every flipped bit is found."""

import contextlib
import json
import pathlib
import pickle
import shutil
import subprocess

import numpy as np
import pytest
from videos import encode, moving_texture

from vidjax.cli import main
from vidjax.config import DataConfig
from vidjax.data import eval_batches, open_source, read_frames, train_batches
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.prepare.codec import Storing
from vidjax.data.prepare.encode import Encoding
from vidjax.data.sources.checksums import Checksums, add_checksums, read_list
from vidjax.data.video.checked_file import CheckedFile
from vidjax.data.video.readers import open_video
from vidjax.errors import DataError, VideoError

CLIP = moving_texture(8, 32, 48)
VP9 = {"g": "4", "deadline": "realtime", "cpu-used": "8"}
CONTAINERS = {
    "a.mp4": lambda: encode(CLIP),
    "b.mkv": lambda: encode(CLIP, "matroska"),
    "c.webm": lambda: encode(CLIP, "webm", "libvpx-vp9", options=VP9),
    "d.avi": lambda: encode(CLIP, "avi", "mpeg4"),
    "e.ts": lambda: encode(CLIP, "mpegts"),
    "f.wmv": lambda: encode(CLIP, "asf", "wmv2"),
    "g.flv": lambda: encode(CLIP, "flv", "flv"),
    "h.mpg": lambda: encode(CLIP, "mpeg", "mpeg2video"),
}
TINY = {"num_frames": 2, "stride": 1, "image_size": 16, "global_batch": 4, "workers": 0}
needs_sha256sum = pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs sha256sum, of GNU coreutils")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Videos of two classes in eight containers, and the list of their checksums."""
    root = tmp_path_factory.mktemp("videos")
    for number, (name, make) in enumerate(CONTAINERS.items()):
        path = root / "train" / "xy"[number % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make())
    shutil.copytree(root / "train", root / "val")
    assert main(["check", "folder", "--root", str(root), "--write-checksums"]) == 0
    return root


@pytest.fixture
def videos(whole, tmp_path):
    """A copy that tests may damage."""
    return shutil.copytree(whole, tmp_path / "videos")


def flip(path, at, bit=3):
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def answer(capsys, *words):
    code = main(["check", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_flipped_bit_is_found_in_every_container(videos):
    rng, found, flips = np.random.default_rng(0), 0, 0
    source = open_source(DataConfig(root=str(videos)), "train")
    for row in (source[index] for index in range(len(source))):
        path = pathlib.Path(row.video)
        whole = path.read_bytes()
        for at in rng.integers(0, 8 * len(whole), 300):
            flip(path, at // 8, at % 8)
            flips += 1
            try:
                open_video(row.video)
            except VideoError as error:
                found += error.reason == "corrupt"
            path.write_bytes(whole)
        with open_video(row.video) as video:
            assert video.frames == len(CLIP)
    print(f"{found} of {flips} flipped bits found in {len(source)} containers")
    assert found == flips == 2400


def test_a_flip_that_decodes_is_not_found_without_a_checksum(videos):
    """Why checksums are needed: VP9 has none."""
    path = next(videos.glob("train/*/c.webm"))
    shown = read_frames(path, range(len(CLIP)))
    whole, unnoticed = path.read_bytes(), 0
    for at in range(len(whole) // 2, len(whole) // 2 + 40):
        flip(path, at)
        with contextlib.suppress(VideoError), open_video(path) as video:
            unnoticed += not np.array_equal(video.read(range(video.frames)), shown)
        path.write_bytes(whole)
    assert unnoticed > 0


def test_training_substitutes_and_evaluation_counts_files_that_differ_from_the_list(videos):
    path = next(videos.glob("train/*/b.mkv"))
    flip(path, path.stat().st_size // 2)
    shutil.copy(path, videos / "val" / path.parent.name)
    data = DataConfig(root=str(videos), **TINY)
    source = open_source(data, "train")
    (row,) = (index for index in range(len(source)) if source[index].id.endswith("b.mkv"))
    batches = train_batches(source, data, seed=0)
    seen = [next(batches) for _ in range(4)]  # two epochs
    batches.close()
    failed = [
        (int(r), VideoError.REASONS[why])
        for b in seen
        for r, why in zip(b["failed"].flat, b["failed_reason"].flat, strict=True)
        if r >= 0
    ]
    assert set(failed) == {(row, "corrupt")}
    assert not any((batch["index"] == row).any() for batch in seen)
    recipe = ClipRecipe(num_frames=2, stride=1, image_size=16, clips=1, crops=1)
    batches = eval_batches(open_source(data, "val"), data, recipe, batch=8)
    (batch,) = batches
    batches.close()
    assert (batch["decoded"].sum(), batch["valid"].sum()) == (7, 8)


@pytest.mark.parametrize("storing", [Storing(), Storing(encoding=Encoding(short_side=32))])
def test_preparing_stores_only_the_listed_file(storing, videos):
    source = open_source(DataConfig(root=str(videos)), "train")
    row = source[0]
    assert storing.store(row)[1].frames == len(CLIP)
    flip(pathlib.Path(row.video), 1500)
    with pytest.raises(VideoError, match="differs from the file listed in") as caught:
        storing.store(row)
    assert caught.value.reason == "corrupt"


def test_check_names_the_file_that_was_changed(videos, capsys):
    path = next(videos.glob("val/*/h.mpg"))
    flip(path, 1000)
    code, found = answer(capsys, "folder", "--root", str(videos), "--read", "index")
    assert (code, found["complete"]) == (1, False)
    unreadable = [failure for split in found["splits"] for failure in split["unreadable"]]
    assert [(failure["id"], failure["reason"]) for failure in unreadable] == [(str(path), "corrupt")]
    assert "SHA256SUMS: its SHA-256 is" in unreadable[0]["detail"]


def test_writing_again_adds_new_files_and_keeps_the_old_checksums(videos, capsys):
    damaged = next(videos.glob("train/*/a.mp4"))
    before = dict(read_list(videos / "SHA256SUMS"))
    flip(damaged, damaged.stat().st_size // 2)
    new = shutil.copy(videos / "val/y/b.mkv", videos / "train/y/new.mkv")
    code, found = answer(capsys, "folder", "--root", str(videos), "--read", "index")
    assert f"1 videos have no checksum in {videos}/SHA256SUMS; the first is {new}" in str(found["splits"][0])
    code, found = answer(capsys, "folder", "--root", str(videos), "--write-checksums")
    assert (code, found["checksums_added"]) == (1, 1)
    after = dict(read_list(videos / "SHA256SUMS"))
    assert after.keys() - before.keys() == {"train/y/new.mkv"}
    assert {name: after[name] for name in before} == before
    new = pathlib.Path(new)
    new.unlink()
    code, found = answer(capsys, "folder", "--root", str(videos))
    assert f"1 files listed in {videos}/SHA256SUMS are missing; the first is {new}" in str(found["splits"][0])


@needs_sha256sum
def test_sha256sum_agrees_with_the_list_and_its_own_list_is_read(videos):
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=videos, capture_output=True, text=True
    )
    assert (check.returncode, check.stdout.count(": OK")) == (0, 16)
    theirs = subprocess.run("find . -type f -name '*.*' | xargs sha256sum", shell=True, cwd=videos, capture_output=True)
    (videos / "theirs").write_bytes(theirs.stdout)
    assert dict(read_list(videos / "theirs")) == dict(read_list(videos / "SHA256SUMS"))


@needs_sha256sum
def test_names_of_any_characters_are_listed_as_sha256sum_does(tmp_path):
    names = ["a b.mp4", "back\\slash.mp4", "two\nlines.mp4", " *x.mp4", "ü.mp4", "x\r.mp4"]
    files = [tmp_path / name for name in names] + [
        pathlib.Path(str(tmp_path), b"\xff.mp4".decode(errors="surrogateescape"))
    ]
    for number, path in enumerate(files):
        path.write_bytes(bytes([number]))
    assert add_checksums(str(tmp_path / "SHA256SUMS"), str(tmp_path), map(str, files)) == len(files)
    check = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path)
    assert check.returncode == 0
    checksums = Checksums(str(tmp_path / "SHA256SUMS"), str(tmp_path))
    assert [checksums.checked(str(path)).verified() for path in files] == [bytes([n]) for n in range(len(files))]


def test_a_list_beside_a_list_of_videos_or_elsewhere_is_read_too(whole, tmp_path, caplog):
    (whole / "files.csv").write_text("train/x/a.mp4 0\ntrain/y/b.mkv 1\n")
    row = open_source(DataConfig(root=str(whole / "files.csv"), eval_split="train"), "train")[0]
    assert isinstance(row.video, CheckedFile)
    elsewhere = tmp_path / "sums"
    lines = (whole / "SHA256SUMS").read_text().splitlines(keepends=True)
    elsewhere.write_text("".join(line for line in lines if "train/x/a.mp4" in line))
    source = open_source(DataConfig(root=str(whole), checksums=str(elsewhere)), "train")
    assert [isinstance(source[index].video, CheckedFile) for index in range(8)] == [True, *[False] * 7]
    assert f"{elsewhere} has no checksum for 7 videos, which are read unchecked" in caplog.text
    with pytest.raises(DataError, match=r"data\.checksums=/gone is missing"):
        open_source(DataConfig(root=str(whole), checksums="/gone"), "train")
    (whole / "files.csv").unlink()


def test_unlisted_files_are_found_also_with_an_empty_list_or_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("vidjax.data.sources.checksums._AT_ONCE", 7)
    files = [str(tmp_path / f"{number}.mp4") for number in range(50)]
    path = tmp_path / "SHA256SUMS"
    path.write_text("")
    assert Checksums(str(path), str(tmp_path)).unlisted(iter(files)) == files
    path.write_text("".join(f"{number:064x}  {number}.mp4\n" for number in range(0, 50, 3)))
    unlisted = [str(tmp_path / f"{number}.mp4") for number in range(50) if number % 3]
    assert Checksums(str(path), str(tmp_path)).unlisted(iter(files)) == unlisted


def test_splits_share_a_list_that_is_read_again_once_it_changes(videos):
    data = DataConfig(root=str(videos))
    train, val = (open_source(data, split) for split in ("train", "val"))
    assert train.checksums is val.checksums
    (videos / "SHA256SUMS").write_text("")
    assert isinstance(open_source(data, "train")[0].video, str)


def test_a_source_with_checksums_reaches_loader_processes_intact(whole):
    source = pickle.loads(pickle.dumps(open_source(DataConfig(root=str(whole)), "train")))
    with open_video(source[3].video) as video:
        assert video.frames == len(CLIP)


def test_a_file_too_large_for_memory_is_compared_too(videos, monkeypatch):
    source = open_source(DataConfig(root=str(videos)), "train")
    expected = read_frames(source[0].video, [0, 5])
    monkeypatch.setattr("vidjax.data.video.checked_file.IN_MEMORY", 100)
    np.testing.assert_array_equal(read_frames(source[0].video, [0, 5]), expected)
    flip(pathlib.Path(source[0].video), 1500)
    with pytest.raises(VideoError, match="differs from the file listed in"):
        read_frames(source[0].video, [0, 5])


@pytest.mark.parametrize("gone", ["missing", "empty"])
def test_a_listed_file_that_is_missing_or_empty_is_reported_as_such(gone, videos):
    source = open_source(DataConfig(root=str(videos)), "train")
    path = pathlib.Path(source[0].video)
    path.unlink()
    if gone == "empty":
        path.touch()
    with pytest.raises(VideoError) as caught:
        open_video(source[0].video)
    assert caught.value.reason == gone


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (f"{'0' * 64}  a.mp4\nno checksum\n", "line 2: expected a SHA-256, two spaces and a path"),
        (f"{'0' * 63}  a.mp4\n", "line 1: expected a SHA-256"),
        (f"{'0' * 64}  a.mp4\n{'1' * 64}  ./a.mp4\n", "line 2: the file is listed again with another checksum"),
    ],
)
def test_a_malformed_list_is_refused_with_its_line(lines, told, tmp_path):
    (tmp_path / "SHA256SUMS").write_text(lines)
    with pytest.raises(DataError, match=told):
        Checksums(str(tmp_path / "SHA256SUMS"), str(tmp_path))


def test_a_raw_stream_is_trained_on_once_its_checksum_is_listed(tmp_path, capsys):
    for name, content in (("a.mp4", encode(CLIP)), ("b.h264", encode(CLIP, "h264"))):
        (tmp_path / name).write_bytes(content)
    for split in ("train", "val"):
        (tmp_path / f"{split}.csv").write_text("a.mp4 0\nb.h264 0\n")
    words = ("folder", "--root", str(tmp_path), "--splits", "train")
    code, found = answer(capsys, *words, "--read", "index")
    assert (code, found["splits"][0]["unreadable"][0]["reason"]) == (1, "open_ended")
    assert answer(capsys, *words, "--write-checksums")[0] == 0
    source = open_source(DataConfig(root=str(tmp_path)), "train")
    with open_video(source[1].video, open_ended=False) as video:
        assert video.frames == len(CLIP)
