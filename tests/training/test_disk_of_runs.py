"""Training and evaluating on a full or read-only disk: one sentence, nothing half-written, and it can resume."""

import json
import pathlib
import sys
import time

import pytest
from small_disk import small_disk

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command of a small run, or of another action in its folder."""
    cache = tmp_path_factory.mktemp("xla")

    def words(workdir, *flags):
        config = f"--config={ROOT / 'configs' / 'motion_finetune.py'}:smoke"
        steps = [f"--config.train.{key}" for key in ("steps=40", "log_every=1", "checkpoint_every=4")]
        environment = ["env", "JAX_PLATFORMS=cpu", f"JAX_COMPILATION_CACHE_DIR={cache}"]
        return [*environment, sys.executable, "-m", "vidjax.main", config, f"--workdir={workdir}", *steps, *flags]

    return words


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """The folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    with small_disk(folder / "disk", "256m") as disk:
        code, _, said = disk.run(command(disk.folder / "run"))
        assert code == 0, said
        yield disk


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().split("\n")[:-1]]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


def fill(path):
    """Fill the disk."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def half_written(folder):
    return [str(path) for path in folder.rglob("*") if path.name.endswith(".part")]


def is_a_sentence(said, words):
    """Check that the last line is a message, without a traceback before it."""
    assert "Traceback" not in said, said
    assert said.strip().splitlines()[-1].startswith("vidjax: "), said
    assert words in said.strip().splitlines()[-1]


def test_a_full_disk_ends_a_run_in_a_sentence_and_with_space_the_run_ends_as_if_undisturbed(command, whole, tmp_path):
    with small_disk(tmp_path / "disk", "256m") as disk:
        run = disk.seen / "run"
        process = disk.start(command(disk.folder / "run"))
        while not (run / "checkpoints" / "4").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        fill(disk.seen / "filler")
        said = process.communicate(timeout=240)[1]
        assert process.returncode == 2
        is_a_sentence(said, "No space left on device")
        assert not half_written(run)
        (disk.seen / "filler").unlink()
        code, _, said = disk.run(command(disk.folder / "run"))
        assert code == 0, said
        assert losses(run) == losses(whole.seen / "run")
        assert (run / "results.json").read_bytes() == (whole.seen / "run" / "results.json").read_bytes()


def test_a_disk_that_became_read_only_is_reported_in_a_sentence_by_training_and_evaluating(command, whole):
    whole.remount("ro")
    try:
        for flags in ((), ("--config.mode=evaluate",)):
            code, _, said = whole.run(command(whole.folder / "run", *flags))
            assert code == 2
            is_a_sentence(said, "Read-only file system")
    finally:
        whole.remount("rw")


def test_an_evaluation_on_a_full_disk_ends_in_a_sentence_and_leaves_nothing_half_written(command, whole):
    before = (whole.seen / "run" / "results.json").read_bytes()
    (whole.seen / "scores").mkdir()
    fill(whole.seen / "filler")
    words = command(whole.folder / "scores", "--config.mode=evaluate", f"--config.init_from={whole.folder / 'run'}")
    code, _, said = whole.run(words)
    assert code == 2
    is_a_sentence(said, "No space left on device")
    assert not half_written(whole.seen)
    assert not (whole.seen / "scores" / "results.json").exists()
    (whole.seen / "filler").unlink()
    code, _, said = whole.run(words)
    assert code == 0, said
    ours, theirs = json.loads((whole.seen / "scores" / "results.json").read_bytes()), json.loads(before)
    assert ours["eval/top1"] == theirs["eval/top1"]
