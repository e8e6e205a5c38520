"""Write a run's metrics to metrics.jsonl, TensorBoard and, if configured, wandb, and show progress on the screen.

Only the first process writes. Each line of metrics.jsonl is a flat object with `step` and names such as `train/loss`.
Animated pictures go to TensorBoard and wandb.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import math
import os
import pathlib
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from vidjax.config import Config
from vidjax.errors import ConfigError, printable
from vidjax.files import GrowingFile, Place, copy_tree, in_bucket, mend_json_lines, writing
from vidjax.weights.run_files import METRICS

_PATIENCE, _REFRESH, _SILENCE = 2.0, 0.5, 30.0  # seconds until a wait is shown, between updates, and between lines
_FLUSH_EVERY = 30.0  # seconds between flushes of TensorBoard's events to disk
_OFTEN, _SELDOM = 5.0, 60.0  # without a progress bar, seconds between lines: at first, and after ten minutes
_NOTED = 0.05  # waiting for data is shown if it takes at least this share of the time
_CONSOLE = Console(stderr=True)


def say(sentence: str) -> None:
    """Print a sentence to the console, from the first process only."""
    if jax.process_index() == 0:
        _CONSOLE.print(printable(sentence), markup=False, highlight=False, soft_wrap=True)


class Telemetry:
    """The writers of one run's metrics.

    Args:
      workdir: the run's folder; lines of `metrics.jsonl` after `step` are dropped, because they will be written again.
      config: gives wandb's project and settings.
      step: the restored step; 0 for a new run.
      total_steps: steps of the whole run, for the estimate of the time left.
      main: the evaluation's figure to show beside the loss, without its prefix; empty for none.
    """

    def __init__(self, workdir: Place, config: Config, *, step: int, total_steps: int, main: str = ""):
        self._first = jax.process_index() == 0
        self._scores = (f"val/{main}", f"eval/{main}")
        self._total, self._first_seen = total_steps, None
        self._began = time.monotonic()
        self._told = -math.inf  # time of the last line
        self._latest: dict[str, float] = {}  # the latest scores, which stay beside the bar
        self._bar, self._line, self._writers = None, "", []
        if self._first:
            if config.train.wandb:  # first, because wandb may be missing, and then no other writer is left open
                self._writers.append(_Wandb(config, workdir))
            self._writers += [_Lines(workdir / METRICS, step), _TensorBoard(workdir / "tensorboard", step)]
            if _CONSOLE.is_terminal:
                self._bar = _progress_bar()
                self._task = self._bar.add_task("", total=total_steps, completed=step)
                self._bar.start()

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Write the metrics of a step to all writers and to the screen."""
        if not self._first:
            return
        for writer in self._writers:
            writer.write(step, metrics)
        self._latest |= {name: metrics[name] for name in self._scores if name in metrics}
        if self._bar:
            self._line = "  ".join(_words(self._latest | metrics, self._scores))
            self._bar.update(self._task, description=self._line)
        elif self._is_due(step, metrics):
            say("  ".join([f"step {step}/{self._total}", *_words(metrics, self._scores), *self._time_left(step)]))
            self._told = time.monotonic()

    def show(self, step: int, gif: Place | None) -> None:
        """Send the animated reconstructions, if there are any, to TensorBoard and wandb."""
        if not self._first or gif is None:
            return
        content = gif.read_bytes()
        for writer in self._writers:
            writer.show(step, "reconstruction", content)

    def advance(self, step: int) -> None:
        """Move the bar; the estimate of the time left starts at the first call, which follows compilation."""
        self._first_seen = self._first_seen or (step, time.monotonic())
        if self._bar:
            self._bar.update(self._task, completed=step)

    @contextlib.contextmanager
    def waiting(self, words: str | Callable[[], str]) -> Generator[None]:
        """Show what the run waits for, once it has waited over two seconds: beside the bar, or in occasional lines.

        Args:
          words: the text to show, or a function that returns it and is called for each update.
        """
        over = threading.Event()

        def tell():
            pause, shown = _PATIENCE, ""
            while not over.wait(pause):
                before, shown = shown, words if isinstance(words, str) else words()
                if self._bar:
                    self._bar.update(self._task, description=shown)
                    pause = _REFRESH
                    continue
                if shown != before:
                    say(shown)
                pause = min(2 * pause, _SILENCE)

        if not self._first:
            yield
            return
        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()
            if self._bar:
                self._bar.update(self._task, description=self._line)

    def flush(self) -> None:
        """Upload metrics that the bucket lacks, so that a checkpoint is never ahead of its metrics."""
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        """Flush and close everything."""
        if self._bar:
            self._bar.stop()
        with contextlib.ExitStack() as stack:  # if one fails, the others are still closed
            for writer in self._writers:
                stack.callback(writer.close)

    def _is_due(self, step: int, metrics: dict[str, float]) -> bool:
        """Return whether to print a line: always for scores and the last step, otherwise less and less often."""
        if step == self._total or any(name in metrics for name in self._scores):
            return True
        now = time.monotonic()
        return now >= self._told + min(max(_OFTEN, (now - self._began) / 10), _SELDOM)

    def _time_left(self, step: int) -> Iterator[str]:
        """The time left in words, once it can be estimated."""
        first, since = self._first_seen or (step, 0.0)
        if first < step < self._total:
            seconds = round((time.monotonic() - since) / (step - first) * (self._total - step))
            yield f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"


class _Lines:
    """metrics.jsonl; values that are not finite become null, because JSON cannot express them."""

    def __init__(self, path: Place, step: int):
        kept = [row for row in mend_json_lines(path, say, step=int) if row["step"] <= step]
        self._file = GrowingFile(path, "".join(json.dumps(row) + "\n" for row in kept))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        clean = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.add(json.dumps({"step": step, **clean}))

    def show(self, step: int, name: str, gif: bytes) -> None:
        """Nothing to do: the picture is a file of the run."""

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _TensorBoard:
    """TensorBoard events of one start; for a bucket, they are kept in a temporary folder and copied at each flush.

    tensorboardX's SummaryWriter is not used: its thread ends when the disk is full; its queue then fills up and blocks
    the run.
    """

    def __init__(self, folder: Place, step: int):
        from tensorboardX.event_file_writer import EventsWriter

        self._kinds: Any = importlib.import_module("tensorboardX.proto.event_pb2")  # its classes are made at run time
        self._folder, self._drafts = folder, tempfile.TemporaryDirectory() if in_bucket(folder) else None
        local = pathlib.Path(self._drafts.name if self._drafts else folder)
        with writing(folder):
            local.mkdir(parents=True, exist_ok=True)
            self._writer, self._flushed = EventsWriter(str(local / "events")), time.monotonic()
            if step:  # makes TensorBoard drop what earlier starts wrote for later steps
                begins = self._kinds.SessionLog(status=self._kinds.SessionLog.START)
                for of_file in ({"file_version": "brain.Event:2"}, {"session_log": begins}):
                    self._writer.write_event(self._kinds.Event(step=step + 1, **of_file))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        from tensorboardX.summary import scalar

        with writing(self._folder):
            for name, value in metrics.items():
                event = self._kinds.Event(step=step, wall_time=time.time(), summary=scalar(name, value))
                self._writer.write_event(event)
            if time.monotonic() > self._flushed + _FLUSH_EVERY:
                self._writer.flush()
                self._flushed = time.monotonic()

    def show(self, step: int, name: str, gif: bytes) -> None:
        """Write an animated GIF, which TensorBoard shows among the images."""
        from PIL import Image

        kinds: Any = importlib.import_module("tensorboardX.proto.summary_pb2")
        width, height = Image.open(io.BytesIO(gif)).size
        image = kinds.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        summary = kinds.Summary(value=[kinds.Summary.Value(tag=name, image=image)])
        with writing(self._folder):
            self._writer.write_event(self._kinds.Event(step=step, wall_time=time.time(), summary=summary))

    def flush(self) -> None:
        if self._drafts:
            self._writer.flush()
            copy_tree(pathlib.Path(self._drafts.name), self._folder)

    def close(self) -> None:
        with writing(self._folder):
            self._writer.close()
        if self._drafts:
            copy_tree(pathlib.Path(self._drafts.name), self._folder)
            self._drafts.cleanup()


class _Wandb:
    def __init__(self, config: Config, workdir: Place):
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise ConfigError(
                f"train.wandb={config.train.wandb!r} needs the package wandb: pip install 'vidjax[wandb]'"
            ) from error
        self._video = wandb.Video
        self._run = wandb.init(
            project=config.train.wandb,
            name=workdir.name,
            id=os.environ.get("WANDB_RUN_ID", workdir.name),
            resume="allow",
            config=dataclasses.asdict(config),
        )

    def write(self, step: int, metrics: dict[str, float]) -> None:
        self._run.log(metrics, step=step)

    def show(self, step: int, name: str, gif: bytes) -> None:
        self._run.log({name: self._video(io.BytesIO(gif), format="gif")}, step=step)

    def flush(self) -> None:
        """Nothing to do: wandb uploads by itself."""

    def close(self) -> None:
        self._run.finish()


def _progress_bar() -> Progress:
    columns = (TextColumn("step {task.completed:.0f}/{task.total:.0f}"), BarColumn(bar_width=16))
    return Progress(
        *columns, TimeRemainingColumn(), TextColumn("left  {task.description}", markup=False), console=_CONSOLE
    )


def _words(metrics: dict[str, float], scores: Iterable[str]) -> Iterator[str]:
    """Yield the metrics for the screen, each in words."""
    for name in scores:
        if name in metrics:
            yield f"{name} {metrics[name]:.4g}"
    for name in ("loss", "lr"):
        if f"train/{name}" in metrics:
            yield f"{name} {metrics[f'train/{name}']:.4g}"
    if "perf/clips_per_s" in metrics:
        yield f"{metrics['perf/clips_per_s']:.3g} clips/s"
    if "perf/mfu" in metrics:
        yield f"MFU {metrics['perf/mfu']:.0%}"
    if metrics.get("perf/data_wait", 0.0) >= _NOTED:
        yield f"{metrics['perf/data_wait']:.0%} waiting for data"
