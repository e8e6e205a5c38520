"""docs/extending.md: its module, its experiment and its commands work as printed, each in a new process."""

import csv
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from videos import encode

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with lab.py, balls.py and DIR: balls cross the frame at the speeds that train.csv and val.csv give."""
    folder = tmp_path_factory.mktemp("lab")
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        name = re.match(r'"""(\w+\.py):', block)[1]
        (folder / name).write_text(block)
    root = folder / "DIR"
    root.mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 6)):
        with open(root / f"{split}.csv", "w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(("video", "speed"))
            for number in range(count):
                name, speed = f"{'ball' if split == 'train' else 'held_out'}_{number}.mp4", rng.uniform(-1, 1)
                frames = np.zeros((12, 32, 32, 3), np.uint8)
                for time, frame in enumerate(frames):
                    left = int(12 + speed * (time - 6) * 1.5)
                    frame[12:20, left : left + 8] = 255
                (root / name).write_bytes(encode(frames))
                lines.writerow((name, f"{speed:.4f}"))
    return folder


def commands() -> list[str]:
    block = re.search(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    return [line for line in block.splitlines() if not line.startswith("export")]


def call(command: str, folder: pathlib.Path) -> str:
    words = shlex.split(command)
    words[:1] = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "vidjax.cli"]
    paths = os.pathsep.join([".", str(PAGE.parents[1])])
    environment = os.environ | {"PYTHONPATH": paths, "JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_page_works_as_it_stands(lab):
    train, evaluate, predict, embed, resume = commands()
    call(train, lab)
    saved = json.loads((lab / "RUN" / "config.json").read_text())
    assert (saved["task"], saved["data"]["name"], saved["model"]["name"]) == ("lab:HUBER", "lab:BALLS", "lab:CONV")
    trained = json.loads((lab / "RUN" / "results.json").read_text())
    assert trained["eval/num_scored"] == trained["eval/num_expected"] == 6

    call(evaluate, lab)
    again = json.loads((lab / "RUN" / "results.json").read_text())
    assert again["eval/rmse"] == pytest.approx(trained["eval/rmse"], rel=1e-5)

    [answer] = json.loads(call(predict, lab))
    assert [value["name"] for value in answer["values"]] == ["speed"]
    call(embed, lab)
    features = json.loads((lab / "FEATURES" / "features.json").read_text())
    assert features["data"]["num_rows"] == 6
    assert features["arrays"]["pooled"] == [24]  # the width that the experiment sets

    call(resume, lab)
    lines = [json.loads(line) for line in (lab / "RUN" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "train/loss" in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == 30
