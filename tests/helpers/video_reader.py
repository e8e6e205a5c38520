"""Programs for drills with videos: read damaged ones, or many, and record what happened."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

import containers
import numpy as np

from vidjax.data.video.checked_file import CheckedFile
from vidjax.data.video.decode import Video
from vidjax.errors import VideoError


def frames_of(video: bytes) -> np.ndarray:
    """All frames, read through the public functions."""
    with Video(video) as opened:
        return opened.read(range(opened.frames))


def read_mutations(path: str, count: str, seed: str, outcomes: str) -> None:
    """Read mutations of a video, recording the outcome of each as soon as it is read.

    An outcome is the reason of an error, "as it was", "wrong frames", or "past the checksum" if not even that finds it.
    """
    video = Path(path).read_bytes()
    wanted, copy = frames_of(video), Path(f"{path}.mutated")
    listed = CheckedFile(str(copy), hashlib.sha256(video).digest(), "a list")
    with open(outcomes, "w", buffering=1) as file:
        for damaged in containers.mutations(video, int(count), int(seed)):
            try:
                found = frames_of(damaged)
            except VideoError as error:
                print(error.reason, file=file)
            else:
                outcome = "as it was" if np.array_equal(found, wanted) else "wrong frames"
                copy.write_bytes(damaged)
                with contextlib.suppress(VideoError):
                    listed.verified()
                    outcome = "as it was" if damaged == video else "past the checksum"
                print(outcome, file=file)


def read_again_and_again(count: str, path: str) -> None:
    """Decode `count` times; report what this process holds after a fifth of them, and at the end."""
    kinds = ("MP4, H.264", "MPEG-TS, H.264", "WebM, VP9", "GIF")
    whole = [containers.CONTAINERS[kind]() for kind in kinds]
    damaged = [list(containers.mutations(video, 25, 0)) for video in whole]
    sizes = []
    for number in range(1, int(count) + 1):
        which = number % len(kinds)
        with contextlib.suppress(VideoError):
            frames_of(damaged[which][number // 20 % 25] if number % 5 == 0 else whole[which])
        if number in (int(count) // 5, int(count)):
            sizes.append(held())
    Path(path).write_text(json.dumps(sizes))


def held(pid: int | str = "self") -> dict[str, int]:
    """Private memory of a process in bytes, and its number of open descriptors."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    private = sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))
    return {"memory": private, "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}
