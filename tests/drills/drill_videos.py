"""Mutated videos: no crash, no hang; wrong frames that no decoder can tell are counted. Decoding leaks nothing.

Videos are read in processes of their own, since a crash of a decoder would take this one along.
"""

import collections
import json
import signal
from pathlib import Path

import containers
import pytest
from forge import wait_until

PAUSE = 0.05  # seconds between looks at a process
HANGS = 1200  # looks in which it has read no further video, though it was not stopped from outside


@pytest.mark.parametrize("kind", containers.CONTAINERS)
def test_a_mutated_video_is_refused_or_read_without_a_crash_or_a_hang(forge, tmp_path, drill, kind):
    count = drill.tries(250)
    (tmp_path / "video").write_bytes(containers.CONTAINERS[kind]())
    words = [str(tmp_path / "video"), str(count), str(int(drill.rng.integers(2**31))), str(tmp_path / "outcomes")]
    process = forge.start("video_reader:read_mutations", *words)
    done = Progress(tmp_path / "outcomes", process.pid)
    wait_until(done.stalls, process, PAUSE)
    hung = process.running()
    if hung:
        process.signal(signal.SIGKILL)
    code = process.wait()
    outcomes = collections.Counter(done.lines())
    assert not hung, f"mutation {sum(outcomes.values())} of seed {words[2]} has hung: {process.said()}"
    assert code == 0, f"mutation {sum(outcomes.values())} of seed {words[2]} has crashed: {process.said()}"
    assert sum(outcomes.values()) == count
    assert "past the checksum" not in outcomes
    same, wrong = outcomes.pop("as it was", 0), outcomes.pop("wrong frames", 0)
    drill.found(
        "mutated videos", containers=1, mutations=count, crashes=0, hangs=0, refused=outcomes.total(),
        as_they_were=same, with_other_frames_or_another_number_of_them=wrong, of_these_past_a_checksum=0,
    )  # fmt: skip


class Progress:
    """A file with a line for each video, and whether it has stopped to grow."""

    def __init__(self, path, pid):
        self._path, self._status, self._seen, self._looks = path, Path(f"/proc/{pid}/status"), -1, 0

    def lines(self):
        return self._path.read_text().split("\n")[:-1] if self._path.exists() else []

    def stalls(self):
        size = self._path.stat().st_size if self._path.exists() else 0
        stopped = self._status.exists() and "(stopped)" in self._status.read_text()
        self._looks = self._looks + (not stopped) if size == self._seen else 0
        self._seen = size
        return self._looks > HANGS


def test_decoding_leaks_neither_memory_nor_descriptors(forge, tmp_path, drill):
    """Whole and damaged videos of four containers, most of them read to the end."""
    count = drill.tries(5000)
    process = forge.start("video_reader:read_again_and_again", str(count), str(tmp_path / "sizes"))
    assert process.wait() == 0, process.said()
    early, late = json.loads((tmp_path / "sizes").read_text())
    assert late["descriptors"] == early["descriptors"]
    assert late["memory"] - early["memory"] < 8 << 20, (early, late)
    grown = max(0, late["memory"] - early["memory"]) >> 10
    drill.found("decodes", decodes=count, descriptors_leaked=0, KiB_of_growth=grown)
