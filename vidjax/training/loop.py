"""The training loop, from a configuration to a finished run; read it top to bottom."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import jax

from vidjax.config import Config, to_saved
from vidjax.data.loader import train_batches
from vidjax.data.sources.base import VideoSource
from vidjax.errors import DataError, StalledError
from vidjax.evaluation import Evaluator
from vidjax.files import Place, absolute, read_json, write_json
from vidjax.objectives import Objective
from vidjax.objectives.base import Params
from vidjax.tasks import TASKS
from vidjax.training import resume_check
from vidjax.training.agreement import agree, run_facts
from vidjax.training.checkpoints import Checkpoints
from vidjax.training.choices.teacher import name_teacher
from vidjax.training.compile_cache import use_compile_cache
from vidjax.training.config_checks import check_config
from vidjax.training.device_feed import Feed
from vidjax.training.evaluate_run import evaluate, said_of
from vidjax.training.goodput import Goodput
from vidjax.training.init.state import start
from vidjax.training.init.video_model import check_source
from vidjax.training.mesh import batch_sharding, loader_slice, make_mesh, place_like
from vidjax.training.optim.freezing import form
from vidjax.training.plan import announce, num_train_steps, plan_run
from vidjax.training.profile import Profile
from vidjax.training.quarantine import Quarantine
from vidjax.training.reading import keep_reading
from vidjax.training.report import draw_pictures, say_where, told_in_report, write_report
from vidjax.training.roll_back import roll_back
from vidjax.training.state import TrainState
from vidjax.training.step_monitor import Watch
from vidjax.training.stop_signal import StopSignal
from vidjax.training.telemetry import Telemetry, say
from vidjax.training.throughput import Meter
from vidjax.training.workdir import opened as open_workdir
from vidjax.training.workdir_lock import locked
from vidjax.viz.document import PAGE, REPORT
from vidjax.weights.adapter import save_adapter
from vidjax.weights.checkpoint_scores import choose_step, why_chosen
from vidjax.weights.read_run import read_params
from vidjax.weights.run_files import CONFIG, RESULTS, is_run, write_labels

__all__ = ["evaluate", "num_train_steps", "train"]


def train(
    config: Config,
    workdir: str | os.PathLike,
    *,
    source: VideoSource | None = None,
    objective: Objective | None = None,
    make_batches: Callable[..., Iterator[dict]] = train_batches,
) -> dict:
    """Train as configured; resume from the latest checkpoint if an earlier start in the same folder left one.

    Args:
      config: the run's configuration.
      workdir: the run's folder, which receives config.json, metrics.jsonl, tensorboard/, checkpoints/,
        quarantine.jsonl, results.json, report.html, and report.md with pictures.
      source: training videos; by default those that `config.data` names.
      objective: the training objective; by default the one that `config.task` names.
      make_batches: yields the batches; called like `vidjax.data.loader.train_batches`.

    Returns:
      Flat results: those of the last evaluation, or the last training metrics if the task has no evaluation.

    Raises:
      UserError: for anything the user can fix, such as processes that disagree; see `vidjax.errors`.
      SystemExit: with code 128 + the signal's number, after SIGTERM or SIGINT. The last completed step is saved first,
        unless it was not finite.
    """
    began = time.monotonic()
    config = name_teacher(config)
    if objective is None:
        check_config(config)
    if config.init_from and not is_run(workdir):
        check_source("init_from", config.init_from)
    agree(lambda: run_facts(config, absolute(workdir)))
    use_compile_cache(config.train.compile_cache)
    mesh = make_mesh(config.mesh)

    with contextlib.ExitStack() as stack:
        workdir = stack.enter_context(open_workdir(workdir))

        def opened(thing):
            return stack.enter_context(contextlib.closing(thing))

        if jax.process_index() == 0:
            stack.enter_context(locked(workdir))
        stack.enter_context(jax.set_mesh(mesh))
        stop = stack.enter_context(StopSignal())
        known = objective is None and make_batches is train_batches
        plan = plan_run(config, workdir, mesh, source, objective, known)
        config, data, source, evaluator = plan.config, plan.config.data, plan.source, plan.evaluator
        total = plan.length.total
        identity = resume_check.fingerprint(config, source)
        checkpoints = opened(Checkpoints(workdir, keep_latest=config.train.keep_latest))
        checkpoints.mend_scores(say)
        state = start(config, plan.fit.step, checkpoints, identity)
        done = first = int(state.step)
        if first >= total and _finished(workdir, evaluator, checkpoints, first):
            say(f"nothing to train: {workdir} has already run {first} steps; raise train.steps or train.epochs")
            return _read_results(workdir)
        if first > total:
            say(f"{workdir} has already run {first} steps, more than the {total} configured; scoring it as it is")
            total = first

        def stopped():
            return f"stopped at step {done} of {total}"

        def last_words():
            write_report(config, workdir, stopped(), why=signal.Signals(stop.signal or signal.SIGTERM).name)
            say(f"report: {workdir / PAGE}")

        announce(plan, state.params, mesh, first)
        if jax.process_index() == 0:
            write_json(workdir / CONFIG, to_saved(config))
            write_labels(workdir, source.labels)
            keep_reading(source, evaluator, workdir)
            TASKS.find(config.task).save_files(source, workdir)
            stop.sentence = lambda: f"{stopped()}; start again with the same workdir to resume"
            stop.last_words = last_words
            stack.enter_context(told_in_report(config, workdir, stopped))

        main = evaluator.main if evaluator else ""
        looks = bool(evaluator or TASKS.find(config.task).draw)
        telemetry = opened(Telemetry(workdir, config, step=first, total_steps=total, main=main))
        profile = opened(Profile(workdir, config.train))
        goodput = opened(Goodput(workdir, first, began))
        goodput.move("start", "compile", plan.fit.seconds)
        meter = Meter(data.global_batch * data.clips_per_decode, plan.objective.train_flops_per_clip, goodput)
        bad = int(state.recent.bad) if state.recent else 0
        watch = Watch(telemetry, meter, Quarantine(workdir, source), config, total, bad)
        batch: dict | None = None
        if first < total:  # otherwise all steps are done, and only the final evaluation is left
            part = loader_slice(mesh)
            batches = opened(make_batches(source, data, seed=config.seed, start_step=first, process=part))
            feed = Feed(batches, batch_sharding(mesh), meter, stop, telemetry.waiting)
            with goodput.on("data"):
                batch = feed.next()
            goodput.turn_to("step")

        results: dict = {}
        unscored = 0 < first < total and checkpoints.score(first) is None
        if evaluator and unscored and _due(first, config.train.eval_every):
            with telemetry.waiting(f"evaluating step {first}"), goodput.on("evaluate"):  # a kill interrupted this
                results = _validate(evaluator, state, checkpoints)
            telemetry.log(first, _numbers(results))
        saving = evaluating = False  # whether a save and an evaluation are due; both wait while steps are not finite
        for step in range(first + 1, total + 1):
            profile.before(step)
            with contextlib.ExitStack() as around:
                if step == first + 1:
                    around.enter_context(telemetry.waiting("compiling the training step"))
                around.enter_context(jax.profiler.StepTraceAnnotation("train", step_num=step))
                around.enter_context(jax.transfer_guard("disallow"))
                called = time.monotonic()
                state, metrics = plan.fit.call(state, batch)
                done, stop.unsaved = step, True
            if step == first + 1:
                meter.compiled(plan.fit.seconds + time.monotonic() - called)
                goodput.move("step", "compile", time.monotonic() - called)
                meter.start()  # excludes compilation
            failed = None
            if step < total:
                try:
                    batch = feed.next(in_flight=metrics["train/loss"])
                except (DataError, StalledError) as error:
                    if jax.process_count() > 1:  # one of several processes cannot save alone
                        raise
                    failed = error
            profile.after(step, metrics["train/loss"])
            watch.push(step, metrics)
            if watch.goes_back:
                begin = step - watch.bad
                watch.flush()
                shapes, most = plan.fit.step.shapes, config.train.max_roll_backs
                with goodput.on("lost"):
                    restored, state = roll_back(state, shapes, checkpoints, bad=begin, most=most)
                    goodput.went_back(restored)
                watch.went_back()
                saving = True

            stopping = bool(stop.signal) if jax.process_count() == 1 else watch.stop
            evaluating = evaluating or bool(looks and step < total and _due(step, config.train.eval_every))
            saving = saving or evaluating or _due(step, config.train.checkpoint_every)
            if not (step == total or stopping or saving or failed):
                continue
            watch.flush()
            if watch.streak and step < total:  # the parameters may be ruined: keep the last checkpoint
                if not (stopping or failed):
                    continue
                say(f"step {step} is not saved: {watch.streak} steps in a row, up to this one, were not finite")
            else:
                goodput.saving(step)
                with goodput.on("save"):
                    checkpoints.save(step, state, {"fingerprint": identity, "mesh": dict(mesh.shape)})
            evaluating, saving = evaluating and not stopping and step < total, False
            if step == total or stopping or evaluating:
                with goodput.on("save"):
                    checkpoints.wait()
                stop.unsaved = jax.process_count() > 1  # one of several processes cannot leave alone
            if failed:
                checkpoints.wait()
                raise failed
            if stopping:
                stop.signal = stop.signal or signal.SIGTERM  # another process received it
                raise SystemExit(128 + stop.signal)
            if evaluating:
                with telemetry.waiting(f"evaluating step {done}"), goodput.on("evaluate"):
                    if evaluator:
                        results = _validate(evaluator, state, checkpoints)
                        telemetry.log(step, _numbers(results))
                    else:
                        params = form(plan.objective, state.params, {})
                        telemetry.show(step, draw_pictures(config, plan.objective, params, mesh, workdir))
                evaluating = False
            meter.start()

        goodput.turn_to("evaluate")
        if evaluator:
            with telemetry.waiting(f"evaluating step {done}"):
                results = _judge(evaluator, state, checkpoints)
            telemetry.log(total, _numbers(results) | goodput.read())
        with telemetry.waiting("drawing pictures for the report"):
            params = form(plan.objective, state.params, {})
            telemetry.show(total, draw_pictures(config, plan.objective, params, mesh, workdir))
        if plan.objective.lora and jax.process_index() == 0:
            save_adapter(workdir, plan.objective.frozen)
        if not evaluator:
            results = {"train/steps": total, **watch.last}
            _write_json(workdir / RESULTS, results)  # marks the pictures as drawn; see `_finished`
        goodput.write()
        write_report(config, workdir, f"trained to step {done} of {total}", results)
    say_where(config, workdir, f"trained to step {done} of {total}")
    return results


def _validate(evaluator: Evaluator, state: TrainState, checkpoints: Checkpoints) -> dict:
    """Score one view per video, with the moving average if the run keeps one; the main figure ranks the checkpoint."""
    results = evaluator.validate(_scored(evaluator, state))
    if (score := results.get(f"val/{evaluator.main}")) is not None:
        checkpoints.set_score(int(state.step), score)
    return results


def _judge(evaluator: Evaluator, state: TrainState, checkpoints: Checkpoints) -> dict:
    """Score the checkpoint that eval.checkpoint names, or the last if the run never validates, by the full protocol."""
    config, step, params = evaluator.config, int(state.step), _scored(evaluator, state)
    results = _validate(evaluator, state, checkpoints) if config.train.eval_every > 0 else {}
    chosen, why = step, ""
    if checkpoints.score(step) is not None:
        chosen = choose_step(checkpoints.steps(), checkpoints.scores, config.eval.checkpoint)
        why = why_chosen(evaluator.workdir, chosen, config.eval.checkpoint, evaluator.source.content_id)
        say(f"scoring checkpoint {chosen}{why}")
    if chosen != step:
        params = jax.tree.map(place_like, read_params(evaluator.workdir, "best", ema=True)[1], params)
    results |= evaluator(params, progress=False, of=said_of(chosen, config, why))
    if checkpoints.score(step) is None:
        checkpoints.set_score(step, results[f"eval/{evaluator.main}"])
    return results


def _scored(evaluator: Evaluator, state: TrainState) -> Params:
    """The parameters of the module to score: the moving average if the run keeps one."""
    return form(evaluator.objective, state.ema or state.params, {})


def _numbers(results: dict) -> dict:
    """The results to plot as curves: all numbers except those of single classes."""
    return {name: value for name, value in results.items() if not isinstance(value, str) and name.count("/") == 1}


def _finished(workdir: Place, evaluator: Evaluator | None, checkpoints: Checkpoints, step: int) -> bool:
    """Return whether a run at its last step has its scores, its results and its report, which is written last."""
    scored, report = evaluator is None or checkpoints.score(step) is not None, workdir / REPORT
    told = report.exists() and f"Trained to step {step} of {step}: " in report.read_text()
    return scored and told and bool(_read_results(workdir))


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _read_results(workdir: Place) -> dict:
    return read_json(workdir / RESULTS) or {}


def _write_json(path: Place, tree: dict) -> None:
    """Write a file of the run from the first process only."""
    if jax.process_index() == 0:
        write_json(path, tree)
