"""From video files to results.json, with one damaged file, in one process and in two."""

import json
import pathlib
import sys

import av
import jax
import numpy as np
import pytest

from vidjax.errors import ConfigError

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import evaluate_worker
from processes import run_both


@pytest.fixture
def videos(tmp_path):
    """Seven clips of one colour each, listed in val.csv by colour channel; one is truncated, one mislabelled."""
    lines = []
    for number, channel in enumerate((0, 1, 2, 0, 1, 2, 2)):
        path = tmp_path / "videos" / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        image = np.full((32, 32, 3), 40, np.uint8)
        image[..., channel] = 220
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for _ in range(5):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        lines.append(f"{path.name} {channel if number != 6 else 0}")
    (tmp_path / "videos" / "4.mp4").write_bytes((tmp_path / "videos" / "4.mp4").read_bytes()[:200])
    (tmp_path / "videos" / "val.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "videos"


def read(folder):
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    return json.loads((folder / "results.json").read_text()), lines


def test_a_damaged_video_is_neither_replaced_nor_forgotten(videos, tmp_path):
    returned = evaluate_worker.evaluate(str(videos), tmp_path / "out", evaluate_worker.make_mesh(), (0, 1))
    results, lines = read(tmp_path / "out")
    assert results == returned
    assert results["eval/top1"] == pytest.approx(5 / 7)
    assert results["eval/top1_scored"] == pytest.approx(5 / 6)
    assert (results["eval/num_scored"], results["eval/num_expected"]) == (6, 7)
    assert [line["id"] for line in lines] == [f"{i}.mp4" for i in range(7)]
    assert [line["top"][:1] for line in lines] == [[0], [1], [2], [0], [], [2], [2]]
    assert [line["reason"] for line in lines] == ["", "", "", "", "truncated", "", ""]
    quarantined = {"step": None, "id": "4.mp4", "path": str(videos / "4.mp4"), "reason": "truncated", "split": "val"}
    evaluate_worker.evaluate(
        str(videos), tmp_path / "out", evaluate_worker.make_mesh(), (0, 1)
    )  # must not list the file twice
    assert [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").open()] == [quarantined]


def test_a_model_with_too_few_classes_is_refused(videos, tmp_path):
    (videos / "val.csv").write_text("0.mp4 3\n")
    with pytest.raises(ConfigError, match=r"label 3 \(counted from 0\), but the model has 3 classes"):
        evaluate_worker.evaluate(str(videos), tmp_path / "out", evaluate_worker.make_mesh(), (0, 1))


def test_two_processes_score_each_video_once_and_agree_with_one(videos, tmp_path):
    answers = run_both(evaluate_worker.__file__, lambda rank, port: (rank, 2, port, videos, tmp_path / "two"))
    assert len({out.split()[-1] for out in answers}) == 1  # both processes return the same results
    evaluate_worker.evaluate(str(videos), tmp_path / "one", evaluate_worker.make_mesh(jax.devices()[:4]), (0, 1))
    assert read(tmp_path / "two") == read(tmp_path / "one")
