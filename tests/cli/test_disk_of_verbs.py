"""`vidjax prepare` and `embed` on a full, read-only or removed disk: a message, and the same command resumes."""

import pathlib
import shutil
import subprocess
import sys
import time

import pytest
from small_disk import small_disk

from vidjax.data import motion_videos

MODEL = ("--model", "random:videomae_tiny", "--num-frames", "4", "--image-size", "16")
SMALL_PARTS = "from vidjax.evaluation.features import writer\nwriter.PART_ROWS = (1, 2)\n"
RUN = "import sys\nfrom vidjax.cli import main\nsys.exit(main())\n"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two classes of four videos each."""
    spec = motion_videos.MotionSpec(train_videos=8, test_videos=0, val_videos=0)
    made = pathlib.Path(motion_videos.prepare(str(tmp_path_factory.mktemp("data") / "motion"), spec))
    root = tmp_path_factory.mktemp("videos")
    for number, line in enumerate(motion_videos.annotations(str(made))):
        target = root / "train" / "ab"[number // 4] / f"{number}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((made / line["video"]).read_bytes())
    (root / "val" / "a").mkdir(parents=True)  # otherwise some would be held out for validation
    (root / "val" / "a" / "8.mp4").write_bytes(b"not asked for")
    return root


def prepare(videos, out):
    """Four shards of 64 KiB, the least that ArrayRecord writes."""
    words = ["prepare", "folder", f"--root={videos}", f"--out={out}", "--splits=train", "--runner=threads"]
    return [sys.executable, "-c", RUN, *words, "--threads=1", "--videos-per-shard=2"]


def embed(videos, out):
    """Four parts of two videos."""
    words = ["embed", *MODEL, "--data", str(videos), "--out", str(out), "--split=train", "--features=tokens"]
    return [sys.executable, "-c", SMALL_PARTS + RUN, *words]


@pytest.fixture(scope="module", params=[prepare, embed], ids=["prepare", "embed"])
def verb(request):
    return request.param


@pytest.fixture(scope="module")
def whole(verb, videos, tmp_path_factory):
    """The files the command writes when there is room."""
    out = tmp_path_factory.mktemp("whole")
    with small_disk(out / "disk", "8m") as disk:
        assert disk.run(verb(videos, out / "disk" / "out"))[0] == 0
        return contents(disk.seen)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def is_a_sentence(said, words):
    """One line at the end, which no traceback precedes."""
    assert "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("vidjax: ")
    assert words in last


def test_a_full_disk_is_a_sentence_and_with_room_the_same_command_ends_with_the_same_files(
    verb, videos, whole, tmp_path
):
    size = {prepare: "160k", embed: "12k"}[verb]
    with small_disk(tmp_path / "disk", size) as disk:
        command = verb(videos, disk.folder / "out")
        code, _, said = disk.run(command)
        assert code == 2
        is_a_sentence(said, "No space left on device")
        left = contents(disk.seen)
        assert left  # what it had finished
        assert not [name for name in left if name.endswith(".part")]
        disk.remount("size=8m")
        assert disk.run(command)[0] == 0
        assert contents(disk.seen) == whole


def test_a_read_only_disk_is_a_sentence(verb, videos, tmp_path):
    with small_disk(tmp_path / "disk", "8m") as disk:
        disk.remount("ro")
        code, _, said = disk.run(verb(videos, disk.folder / "out"))
        assert code == 2
        is_a_sentence(said, str(disk.folder))


@pytest.mark.parametrize(
    "verb", [prepare, pytest.param(embed, marks=pytest.mark.slow)], ids=["prepare", "embed"], indirect=True
)
def test_a_folder_that_is_deleted_under_it_is_a_sentence_and_the_same_command_begins_again(
    verb, videos, whole, tmp_path
):
    slowly = "import time, vidjax.files\nreplace = vidjax.files.pathlib.Path.replace\n"
    slowly += "vidjax.files.pathlib.Path.replace = lambda self, to: (time.sleep(0.4), replace(self, to))[1]\n"
    out = tmp_path / "out"
    python, flag, script, *words = verb(videos, out)
    process = subprocess.Popen([python, flag, slowly + script, *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not contents(out).keys() - {"features.json"} and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)  # what came into it meanwhile
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    is_a_sentence(said, "cannot be written")
    assert subprocess.run([python, flag, script, *words], capture_output=True, timeout=120).returncode == 0
    assert len(contents(out)) == len(whole)
