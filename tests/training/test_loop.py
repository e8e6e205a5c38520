"""Whole runs: stopping and resuming, folders of other runs, videos that fail, steps that are not finite."""

import dataclasses
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import threading
import time

import jax
import numpy as np
import pytest
import toy
from PIL import Image
from saved_runs import make_config
from toy_runs import StoppingBatches, events_of, lines, losses, run, saved_steps

import vidjax
from vidjax.config import to_saved
from vidjax.errors import ConfigError, DataError, ResumeError, StalledError, TrainingError
from vidjax.training import loop, resume_check, telemetry
from vidjax.viz.panels import files_of
from vidjax.viz.reconstruction import Pictures
from vidjax.weights.read_run import read_params


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    run(workdir)
    return workdir


def test_a_run_leaves_its_files(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert {"config.json", "metrics.jsonl", "results.json", "tensorboard", "checkpoints"} <= names
    assert json.loads((uninterrupted / "config.json").read_text()) == json.loads(json.dumps(to_saved(toy.toy_config())))
    last = lines(uninterrupted)[-1]
    assert last["step"] == 8
    assert {"train/loss", "train/lr", "train/grad_norm", "train/update_norm", "train/nonfinite"} < last.keys()
    assert {"train/decode_failures", "train/error"} < last.keys()
    assert {"perf/clips_per_s", "perf/step_s", "perf/data_wait"} < lines(uninterrupted)[2].keys()
    assert sum("perf/compile_s" in line for line in lines(uninterrupted)) == 1  # of the first step
    assert json.loads((uninterrupted / "results.json").read_text())["train/loss"] == last["train/loss"]


def test_training_learns(tmp_path):
    run(tmp_path, train__steps=60, optim__base_lr=0.3, train__checkpoint_every=1000)
    found = losses(tmp_path)
    assert np.mean([found[step] for step in range(56, 61)]) < 0.5 * found[1]


def test_stop_and_start_again_repeats_the_losses_to_the_bit(tmp_path, uninterrupted, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, batches=StoppingBatches)
    assert stopped.value.code == 128 + signal.SIGTERM
    half = losses(tmp_path)
    assert 4 <= max(half) < 8
    run(tmp_path)
    assert losses(tmp_path) == losses(uninterrupted)
    (_, ours), (_, theirs) = read_params(tmp_path), read_params(uninterrupted)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert f"resumed from checkpoint {max(half)}" in capsys.readouterr().err


def test_a_run_ends_by_saying_where_everything_is(tmp_path, capsys):
    run(tmp_path)
    *_, said, report, checkpoints, metrics, try_it = capsys.readouterr().err.splitlines()
    assert said.startswith("trained to step 8 of 8 in ")
    assert report.split() == ["report", str(tmp_path / "report.html")]
    assert checkpoints.split(": ")[1] == ", ".join(map(str, saved_steps(tmp_path)))
    for line in (report, checkpoints, metrics):
        paths = re.findall(rf"{tmp_path}[^\s:;]*", line)
        assert paths
        assert all(pathlib.Path(path).exists() for path in paths)
    assert try_it.split(maxsplit=2)[2] == f"vidjax embed --data DIR --out FEATURES --model {tmp_path}"


@pytest.mark.slow
def test_tensorboard_shows_pictures_during_and_after_training_of_a_task_without_a_score(tmp_path, monkeypatch):
    def draw(objective, params, source, config, mesh, folder):
        folder.mkdir(exist_ok=True)
        files = files_of(folder, "r")
        Image.new("RGB", (8, 8)).save(files.gif)
        return Pictures(files, "", ())

    monkeypatch.setattr(toy, "TASK", dataclasses.replace(toy.TASK, draw=draw))
    run(tmp_path, train__eval_every=3)
    found = [step for step, value in events_of(tmp_path) if value.tag == "reconstruction"]
    assert found == [3, 6, 8]


def test_ctrl_c_saves_too(tmp_path):
    batches = type("Interrupted", (StoppingBatches,), {"signal": signal.SIGINT})
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, batches=batches)
    assert stopped.value.code == 130
    assert read_params(tmp_path)[0] == max(losses(tmp_path))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stopped_run_has_a_report_that_says_where_and_the_whole_run_has_both(tmp_path):
    with pytest.raises(SystemExit):
        run(tmp_path, batches=StoppingBatches)
    stopped = max(losses(tmp_path))
    text = (tmp_path / "report.md").read_text()
    assert f"This run was stopped at step {stopped} of 8." in text
    assert "curves.png" in text
    run(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "This run was stopped" not in text
    assert text.index(f"Stopped at step {stopped} of 8: ") < text.index("Trained to step 8 of 8: ")


def test_a_signal_ends_the_wait_for_a_batch_that_never_comes(tmp_path):
    class Hanging(toy.ToyBatches):
        def __next__(self):
            if self._step == 5:
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
                threading.Event().wait(60)
            return super().__next__()

    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, batches=Hanging)
    assert stopped.value.code == 143
    assert read_params(tmp_path)[0] == 5


def test_a_slow_first_batch_is_not_waited_for_in_silence(tmp_path, capsys, monkeypatch):
    class Slow(toy.ToyBatches):
        def __next__(self):
            time.sleep(0.0 if self._step else 0.5)
            return super().__next__()

    monkeypatch.setattr(telemetry, "_PATIENCE", 0.1)
    run(tmp_path, batches=Slow)
    assert capsys.readouterr().err.count("waiting for the first batch\n") == 1


def test_a_run_stopped_before_its_first_step_leaves_at_once(tmp_path, capsys):
    class First(StoppingBatches):
        stop_at = 0

    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, batches=First)
    assert stopped.value.code == 143
    assert "stopped at step 0 of 8; start again" in capsys.readouterr().err
    assert "stopped at step 0 of 8" in (tmp_path / "report.md").read_text()
    assert not list((tmp_path / "checkpoints").iterdir())


def test_resuming_from_an_older_checkpoint_drops_the_lines_after_it(tmp_path, uninterrupted):
    with pytest.raises(SystemExit):
        run(tmp_path, batches=type("Late", (StoppingBatches,), {"stop_at": 6}), train__checkpoint_every=3)
    for path in (tmp_path / "checkpoints").iterdir():
        if path.name != "3":
            path.rename(path.with_name(f"lost-{path.name}"))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "train/lo')  # what a kill leaves
    run(tmp_path, train__checkpoint_every=3)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 9))
    assert losses(tmp_path) == losses(uninterrupted)


def test_a_damaged_checkpoint_costs_its_steps_and_nothing_else(tmp_path, uninterrupted, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, batches=type("Late", (StoppingBatches,), {"stop_at": 6}), train__checkpoint_every=3)
    newest = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    data = max((tmp_path / f"checkpoints/{newest}/params").rglob("d/*"), key=lambda path: path.stat().st_size)
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    run(tmp_path, train__checkpoint_every=3)
    assert losses(tmp_path) == losses(uninterrupted)
    assert f"checkpoint {newest} is damaged" in capsys.readouterr().err


def test_a_finished_run_says_so_and_stays_as_it_is(uninterrupted, capsys):
    before = (uninterrupted / "metrics.jsonl").read_text()
    results = run(uninterrupted)
    assert results == json.loads((uninterrupted / "results.json").read_text())
    assert "has already run 8 steps; raise train.steps or train.epochs" in capsys.readouterr().err
    assert (uninterrupted / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    "missed",
    ["_write_json", *(pytest.param(name, marks=pytest.mark.slow) for name in ("draw_pictures", "write_report"))],
)
def test_a_run_killed_after_its_last_checkpoint_is_finished_by_the_next_start(tmp_path, monkeypatch, missed):
    run(tmp_path, train__steps=4)  # leaves the report and results of a shorter run

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, missed, kill)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert saved_steps(tmp_path)[-1] == 8
    assert run(tmp_path)["train/steps"] == 8
    assert json.loads((tmp_path / "results.json").read_text())["train/steps"] == 8
    assert "Trained to step 8 of 8: " in (tmp_path / "report.md").read_text()


def test_a_validation_that_was_killed_is_made_by_the_next_start(tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    config = make_config(train__steps=2, train__eval_every=1, train__log_every=1)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_validate", killed)
        with pytest.raises(KeyboardInterrupt):
            loop.train(config, tmp_path)
    assert saved_steps(tmp_path) == [1]
    loop.train(config, tmp_path)
    assert [line["step"] for line in lines(tmp_path) if "val/top1" in line] == [1, 2]
    assert json.loads((tmp_path / "checkpoints" / "scores.json").read_text()).keys() == {"1", "2"}


def test_a_run_with_more_steps_than_configured_says_so_and_ends_where_it_is(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, batches=StoppingBatches)
    made = max(losses(tmp_path))
    run(tmp_path, train__steps=made - 1)
    said = capsys.readouterr().err
    assert f"has already run {made} steps, more than the {made - 1} configured; scoring it as it is" in said
    assert f"Trained to step {made} of {made}: " in (tmp_path / "report.md").read_text()
    assert max(losses(tmp_path)) == made


@pytest.mark.parametrize(
    ("changes", "source", "message"),
    [
        ({"seed": 1}, toy.ToySource(), "seed was 0, is now 1"),
        ({"data__global_batch": 32}, toy.ToySource(), "data.global_batch was 16, is now 32"),
        ({"data__flip": 0.5}, toy.ToySource(), "data.flip was 0.0, is now 0.5"),
        ({}, toy.ToySource(content_id="other"), "the training videos are not those of the run in"),
        ({}, toy.ToySource(length=65), "number of videos was 64, is now 65"),
        ({"model__name": "videomae_small"}, toy.ToySource(), "model.name was videomae_base, is now videomae_small"),
    ],
)
def test_the_folder_of_another_experiment_is_refused_with_what_changed(uninterrupted, changes, source, message):
    with pytest.raises(ResumeError, match=r"to resume( the run)?, or choose another workdir") as refused:
        run(uninterrupted, source=source, train__steps=9, **changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_how_fast_and_where_data_is_read_may_change(tmp_path, uninterrupted, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, batches=StoppingBatches)
    run(tmp_path, data__threads=5, data__root="/elsewhere", model__remat="full")
    assert losses(tmp_path) == losses(uninterrupted)
    assert "note: model.remat was none, is now full" in capsys.readouterr().err


def test_another_version_is_noted_and_a_setting_unknown_to_it_is_refused():
    now = resume_check.fingerprint(toy.toy_config(), toy.ToySource())
    before = {"same": dict(now["same"]), "noted": now["noted"] | {"vidjax version": "0.0.9"}}
    notes = resume_check.compare(before, now, "here")
    assert notes == [f"vidjax version was 0.0.9, is now {vidjax.__version__}"]
    del before["same"]["data.erase"]
    for saved, current, sentence in ((before, now, "was not known, is now 0.0"), (now, before, "was 0.0, is now not")):
        with pytest.raises(ResumeError, match=f"data.erase {sentence}"):
            resume_check.compare(saved, current, "here")


def test_steps_that_are_not_finite_are_counted_and_stop_the_run(tmp_path):
    config = {"train__max_nonfinite": 3, "train__log_every": 4}
    run(tmp_path / "two", toy.ToyObjective(poison=(1, 2)), **config)
    assert [line["train/nonfinite"] for line in lines(tmp_path / "two")] == [2, 0]
    message = (
        r"3 steps in a row had a loss that is not finite \(nan\) \(train.max_nonfinite=3\), the last of them step 7"
    )
    with pytest.raises(TrainingError, match=message):
        run(tmp_path / "three", toy.ToyObjective(poison=(1, 2, 4, 5, 6)), **config)
    assert lines(tmp_path / "three")[-1]["train/loss"] is None


def test_nothing_is_saved_while_steps_are_not_finite_so_that_the_last_sound_checkpoint_stays(tmp_path):
    config = {"train__max_nonfinite": 4, "train__checkpoint_every": 1, "train__keep_latest": 1}
    with pytest.raises(TrainingError, match="were not saved"):
        run(tmp_path / "ruined", toy.ToyObjective(poison=(3, 4, 5, 6)), **config)
    assert saved_steps(tmp_path / "ruined") == [3]  # steps 4 to 7 are not finite
    with pytest.raises(SystemExit):  # stopped during such steps
        run(tmp_path / "stopped", toy.ToyObjective(poison=(3, 4, 5, 6)), batches=StoppingBatches, **config)
    assert saved_steps(tmp_path / "stopped") == [3]
    with pytest.raises(TrainingError, match=r"2 steps in a row .*the last of them step 8"):
        run(tmp_path / "end", toy.ToyObjective(poison=(6, 7)), **config)
    assert saved_steps(tmp_path / "end") == [6]


def test_a_postponed_checkpoint_is_saved_at_the_next_finite_step(tmp_path):
    run(tmp_path, toy.ToyObjective(poison=(3, 4)), train__checkpoint_every=4, train__keep_latest=9)
    assert saved_steps(tmp_path) == [6, 8]  # steps 4 and 5 are not finite


def test_gradients_that_overflow_at_a_finite_loss_are_reported_as_such(tmp_path):
    class Overflowing(toy.ToyObjective):
        def loss(self, params, extra, batch, rngs, train):
            loss, rest = super().loss(params, extra, batch, rngs, train)
            return jax.numpy.sqrt(0.0 * loss) + 3.3e7, rest  # its derivative at 0 is infinite

    with pytest.raises(TrainingError, match=r"2 steps in a row had gradients that are not finite .*loss of 3\.3e\+07"):
        run(tmp_path, Overflowing(), train__max_nonfinite=2)


def moved_away(workdir):
    """Move the folder as another terminal might during a save, which creates it again."""
    workdir.rename(workdir.with_name("elsewhere"))
    (workdir / "checkpoints").mkdir(parents=True)


def made_anew(workdir):
    """Delete the folder and create one with the same name and inode, as file systems such as ext4 do."""
    number = (workdir / "checkpoints").stat().st_ino
    shutil.rmtree(workdir / "checkpoints")
    for other in (workdir / f"new-{count}" for count in range(100)):
        other.mkdir()
        if other.stat().st_ino == number:
            break
    other.rename(workdir / "checkpoints")


@pytest.mark.parametrize("remove", [shutil.rmtree, moved_away, made_anew])
def test_a_workdir_that_is_removed_under_a_run_ends_it_in_a_sentence(tmp_path, remove):
    workdir = tmp_path / "run"

    class Removing(toy.ToyBatches):
        def __next__(self):
            if self._step == 6:
                remove(workdir)
            return super().__next__()

    with pytest.raises(DataError, match=r"no checkpoint can be written to .*check that the folder exists"):
        run(workdir, batches=Removing, train__checkpoint_every=1000)


@pytest.mark.parametrize("error", [DataError, StalledError])
def test_what_ends_the_loader_costs_no_step(tmp_path, uninterrupted, error):
    class Ending(toy.ToyBatches):
        def __next__(self):
            if self._step == 5:
                raise error("a loader process was ended from outside")
            return super().__next__()

    with pytest.raises(error, match="ended from outside"):
        run(tmp_path, batches=Ending, train__checkpoint_every=1000)
    assert saved_steps(tmp_path) == [5]
    run(tmp_path, train__checkpoint_every=1000)
    assert losses(tmp_path) == losses(uninterrupted)


def test_failed_videos_are_listed_and_reported_once_with_their_reason(tmp_path, capsys):
    broken = functools.partial(toy.ToyBatches, broken=(3, 17))
    run(tmp_path, batches=broken, train__log_every=2)
    found = [json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert found == [
        {"step": 1, "id": "video 3", "path": "/videos/3.mp4", "reason": "truncated"},
        {"step": 2, "id": "video 17", "path": "/videos/17.mp4", "reason": "truncated"},
    ]  # although each was drawn twice: 64 videos are 4 steps
    assert capsys.readouterr().err.count("video 3 cannot be decoded (truncated); another video takes its place") == 1
    assert [line["train/decode_failures"] for line in lines(tmp_path)] == [2, 0, 2, 0]


def test_a_run_stops_when_too_many_distinct_videos_failed_over_all_its_starts(tmp_path):
    first = functools.partial(StoppingBatches, broken=tuple(range(9)))
    with pytest.raises(SystemExit):
        run(tmp_path, batches=first)
    with pytest.raises(DataError, match="14 of 64 videos could not be decoded, more than the limit of 10"):
        run(tmp_path, batches=functools.partial(toy.ToyBatches, broken=tuple(range(55, 60))))


def test_parameters_of_an_earlier_run_are_reused(tmp_path, uninterrupted, capsys):
    changed = {"init_from": str(uninterrupted), "optim__base_lr": 0.0, "optim__weight_decay": 0.0, "train__steps": 1}
    run(tmp_path, optim__ema=0.5, optim__warmup_steps=1, **changed)
    (_, ours), (_, theirs) = read_params(tmp_path), read_params(uninterrupted)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    jax.tree.map(np.testing.assert_array_equal, read_params(tmp_path, ema=True)[1], theirs)
    assert (
        f"starting from parameters of {uninterrupted} at step 8; new: none; not used: none" in capsys.readouterr().err
    )


def test_parameters_that_cannot_be_reused_are_refused(tmp_path, uninterrupted):
    with pytest.raises(ConfigError, match=r"config\.init_from: there is no file or folder"):
        run(tmp_path / "a", init_from=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"encoder/patch_embed/kernel \(48, 16\) has shape \(24, 16\) there"):
        run(tmp_path / "b", init_from=str(uninterrupted), data__num_frames=4)


def test_steps_come_from_epochs():
    assert loop.num_train_steps(toy.toy_config(train__steps=0, train__epochs=2.5), 100) == 16  # 250 / 16 = 15.6
    assert loop.num_train_steps(toy.toy_config(train__steps=0, train__epochs=0.01), 100) == 1
    assert loop.num_train_steps(toy.toy_config(train__steps=5), 100) == 5


def test_a_warm_up_longer_than_the_run_is_shortened_and_reported(tmp_path, capsys):
    run(tmp_path, optim__warmup_steps=5000)
    assert "a warm-up of 5000 steps is longer than the run of 8; shortened to 1" in capsys.readouterr().err
    assert [line["train/lr"] for line in lines(tmp_path)][1] > 0  # after one step of warm-up: a rate that learns


def test_batches_are_closed_and_the_profile_is_written(tmp_path):
    made = []

    def batches(*args, **kwargs):
        made.append(toy.ToyBatches(*args, **kwargs))
        return made[0]

    run(tmp_path, batches=batches, train__profile_start=2, train__profile_steps=2)
    assert made[0].closed
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
