"""`vidjax prepare` and `embed` on Apache Beam's DaskRunner: two worker processes, killed half-way and resumed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from videos import encode, moving_texture

pytest.importorskip("apache_beam", reason="needs the extra dask (Apache Beam and Dask)")
distributed = pytest.importorskip("distributed", reason="needs the extra dask (Apache Beam and Dask)")

from vidjax.cli import main  # noqa: E402 - after the skips, so that without the extra nothing is imported

MODEL = ("--model", "random:videomae_tiny", "--num-frames", "4", "--image-size", "16")
RUN = "import sys\nfrom vidjax.cli import main\nsys.exit(main())\n"
SMALL_PARTS = "from vidjax.evaluation.features import writer\nwriter.PART_ROWS = (1, 2)\n"
SLOWLY = "import time\nwrite = writer.write_part\nwriter.write_part = lambda *part: (time.sleep(1), write(*part))\n"
VIDEOS = 12


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two classes of six videos of 120 frames, which take a moment to encode anew; one of them is broken."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(VIDEOS):
        path = root / "train" / "ab"[number % 2] / f"{number:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(moving_texture(120, 240, 320, seed=number)) if number != 5 else b"no video")
    (root / "val" / "a").mkdir(parents=True)  # else some of these would be for validation
    (root / "val" / "a" / "0.mp4").write_bytes(b"not asked for")
    return root


class Cluster:
    """A scheduler and worker processes of one thread each.

    Attributes:
      address: of the scheduler; workers: the processes.
    """

    def __init__(self, stack, folder, count=2):
        self._stack, self._file = stack, folder / "scheduler.json"
        self._start("scheduler", "--port=0", "--no-dashboard", f"--scheduler-file={self._file}")
        while not self._file.exists():
            time.sleep(0.05)
        self.address = json.loads(self._file.read_text())["address"]
        self.workers = [
            self._start("worker", f"--scheduler-file={self._file}", "--nthreads=1", "--no-nanny", "--no-dashboard")
            for _ in range(count)
        ]
        self.client = stack.enter_context(distributed.Client(self.address))
        self.client.wait_for_workers(count, timeout=60)

    def _start(self, *words):
        log = self._stack.enter_context(self._file.with_suffix(f".{len(words)}{words[0]}").open("ab"))
        process = subprocess.Popen([sys.executable, "-m", "dask", *words], stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def cluster(tmp_path):
    with contextlib.ExitStack() as stack:
        yield Cluster(stack, tmp_path)


def prepare(videos, out, *runner):
    words = ["prepare", "folder", f"--root={videos}", f"--out={out}", "--splits=train", "--videos-per-shard=1"]
    return [*words, *(runner or ("--runner=threads", "--threads=1"))]


def on(cluster):
    return "--runner=DaskRunner", f"--beam-option=dask_client_address={cluster.address}"


def start(words):
    command = [sys.executable, "-c", RUN, *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for(folder, pattern, count, process):
    """Wait until this many files exist; the process must still be running."""
    deadline = time.monotonic() + 240
    while len(list(folder.glob(pattern))) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def records(videos, tmp_path_factory):
    """The records written by one thread of one process."""
    out = tmp_path_factory.mktemp("records")
    assert main(prepare(videos, out)) == 3  # one of the videos is broken
    return contents(out)


def test_records_of_two_worker_processes_are_those_of_one_thread(videos, records, cluster, tmp_path):
    ended = start(prepare(videos, tmp_path / "out", *on(cluster)))
    said = ended.communicate(timeout=240)[1]
    assert ended.returncode == 3, said
    assert f"stored {VIDEOS - 1} of {VIDEOS} videos" in said
    assert contents(tmp_path / "out") == records
    wrote = cluster.client.run(lambda: (os.getpid(), "vidjax.data.prepare.shards" in sys.modules))
    assert sorted(wrote.values()) == sorted((worker.pid, True) for worker in cluster.workers)


def test_killed_half_way_with_one_of_its_workers_the_same_command_ends_with_the_same_records(
    videos, records, cluster, tmp_path
):
    out = tmp_path / "out"
    command = prepare(videos, out, *on(cluster))
    process = start(command)
    wait_for(out, ".preparing-*/train-*.json", 3, process)
    process.kill()
    cluster.workers[0].kill()
    process.communicate()
    assert 3 <= len(list(out.glob(".preparing-*/train-*.json"))) < VIDEOS
    again = start(command)
    said = again.communicate(timeout=240)[1]
    assert again.returncode == 3, said
    assert contents(out) == records


def test_the_death_of_a_worker_costs_nothing_but_time(videos, records, cluster, tmp_path):
    process = start(prepare(videos, tmp_path / "out", *on(cluster)))
    wait_for(tmp_path / "out", ".preparing-*/train-*.json", 2, process)
    cluster.workers[0].kill()
    said = process.communicate(timeout=240)[1]
    assert process.returncode == 3, said
    assert contents(tmp_path / "out") == records


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_command_within_seconds(videos, cluster, tmp_path, number, code):
    process = start(prepare(videos, tmp_path / "out", *on(cluster)))
    wait_for(tmp_path / "out", ".preparing-*/train-*.json", 1, process)
    since = time.monotonic()
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, "Traceback" in said) == (code, False), said
    assert time.monotonic() - since < 5
    assert not list((tmp_path / "out").glob("folder_videos"))


def test_what_a_worker_says_against_it_is_one_sentence(videos, cluster, tmp_path):
    process = start(prepare(videos, tmp_path / "out", *on(cluster)))
    wait_for(tmp_path / "out", ".preparing-*", 1, process)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    said = process.communicate(timeout=120)[1]
    assert (process.returncode, "Traceback" in said) == (2, False), said
    assert "cannot be written" in said.strip().splitlines()[-1]


def test_a_store_of_two_worker_processes_killed_half_way_is_that_of_one_process(videos, cluster, tmp_path):
    words = ["embed", *MODEL, "--data", str(videos), "--split=train", "--features=tokens"]
    whole = [sys.executable, "-c", SMALL_PARTS + RUN, *words, f"--out={tmp_path / 'whole'}"]
    assert subprocess.run(whole, stderr=subprocess.DEVNULL, timeout=240).returncode == 3
    parts, out = "part-*.safetensors", tmp_path / "out"
    command = [sys.executable, "-c", SMALL_PARTS + RUN, *words, f"--out={out}", *on(cluster)]
    cluster.client.run(exec, SMALL_PARTS + SLOWLY, {})
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(out, parts, 1, process)
    process.kill()
    process.communicate()
    again = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert again.returncode == 3, again.stderr
    assert contents(out) == contents(tmp_path / "whole")


def test_a_scheduler_that_does_not_answer_is_one_sentence(videos, tmp_path, capsys):
    words = "--beam-option=dask_client_address=tcp://127.0.0.1:9", "--beam-option=dask_connection_timeout=2"
    assert main(prepare(videos, tmp_path / "out", "--runner=DaskRunner", *words)) == 2
    said = capsys.readouterr().err
    assert said.strip().splitlines()[-1].startswith("vidjax: ")
    assert "Traceback" not in said
