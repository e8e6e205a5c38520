"""`vidjax watch`: classify a camera, a stream or a growing file live.

Each answer covers the most recent seconds of the stream. Frames and answers that would be late are dropped. It stops
when the stream ends, after --seconds, or on Ctrl-C or SIGTERM, and then prints a summary. A file that has not grown for
--timeout seconds counts as ended; if any other source sends nothing for that long, the exit code is 4.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import sys
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model
from vidjax.cli.terminal import json_line, say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError, one_line
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.data.video.live_video import LiveVideo
    from vidjax.evaluation.predict import Predictor
    from vidjax.evaluation.watching import Moment, Watch

_SOURCE = "a camera (/dev/video0), a stream (rtsp://, http://, https://, tcp://), or a growing file"
_LONG = 3.0  # window in seconds for a model that spreads its frames over a whole video


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("source", metavar="SOURCE", help=_SOURCE)
    add("--model", required=True, metavar="SOURCE", help=load_model.HELP)
    add("--every", type=float, default=1.0, metavar="SECONDS", help="time between two answers (1)")
    about = (
        "length of a window; the frames of its clip are spread over it (default: as long as a clip, or 3 for a model "
        "that spreads its frames over a video)"
    )
    add("--window", type=float, metavar="SECONDS", help=about)
    clip_options.add_stride(parser)
    add("--top", type=int, default=3, metavar="K", help="classes to show (3)")
    add("--crops", type=int, default=1, metavar="N", help="crops along the long side (1)")
    add("--seconds", type=float, default=math.inf, metavar="N", help="stop this long after the first frame")
    add("--timeout", type=float, default=10.0, metavar="SECONDS", help="give up after this long without a frame (10)")
    about = "print a line of JSON per answer, {start, end, top: [{label, probability}], latency} (with values: [{name, "
    about += "value}] instead of top for regression), and {summary} at the end"
    add("--json", action="store_true", help=about)


def run(arguments: argparse.Namespace) -> int:
    """Answer until the source ends, the time is up or a signal arrives."""
    from vidjax.data.video.live_source import find_source

    for name in ("every", "window", "seconds", "timeout"):
        value = getattr(arguments, name)
        if value is not None and not (0 < value < math.inf or (name == "seconds" and value == math.inf)):
            raise ConfigError(f"--{name}={value:g} must be above 0 seconds")
    if arguments.top < 1:
        raise ConfigError(f"--top={arguments.top} must be at least 1")
    source = find_source(arguments.source)
    model = load_model.load(arguments.model)
    load_model.check_classifier(model, arguments.model)
    from vidjax.data.video.live_video import LiveVideo
    from vidjax.evaluation.watching import Watch
    from vidjax.weights.clip_recipes import RecipeChanges
    from vidjax.weights.predictors import make_predictor

    asked = RecipeChanges(
        stride=arguments.stride, crops=arguments.crops, every=arguments.every, window=arguments.window
    )
    predictor = make_predictor(model, asked)
    if predictor.recipe.spread and not asked.window:
        predictor = make_predictor(model, dataclasses.replace(asked, window=_LONG))
    with progress("compiling"):
        watch = Watch(predictor, arguments.every)
    show = _Lines(predictor, arguments.top, as_json=arguments.json)
    with contextlib.ExitStack() as waiting:
        waiting.enter_context(progress(f"waiting for {source.shown}"))
        with LiveVideo(source, watch.prepare, arguments.timeout) as video:
            try:
                for moment in watch.moments(video, arguments.seconds, waiting.close):
                    show.answer(moment)
                    while video.remarks:
                        show.remark(f"note: {video.remarks.pop(0)}")
            finally:  # also after a signal
                waiting.close()
                show.summary(watch, video)
    return 0


class _Lines:
    """The display of answers: one changing line on a terminal, lines elsewhere, or JSON."""

    def __init__(self, predictor: Predictor, top: int, *, as_json: bool):
        self._predictor, self._top, self._json = predictor, top, as_json
        self._changes, self._open = sys.stdout.isatty() and not as_json, False

    def answer(self, moment: Moment) -> None:
        """Show one answer."""
        said: dict[str, Any] = {"start": round(moment.start, 3), "end": round(moment.end, 3)}
        if self._predictor.numbers:
            said["values"] = self._predictor.values(moment.scores)
        else:
            said["top"] = self._predictor.top(moment.scores, self._top)
        if self._json:
            print(json_line(said | {"latency": round(moment.latency, 3)}), flush=True)
            return
        if "values" in said:
            shown = "  ".join(f"{line['value']:+.3f} {one_line(line['name'])}" for line in said["values"])
        else:
            shown = "  ".join(f"{line['probability']:4.0%} {one_line(line['label'])}" for line in said["top"])
        seconds = int(moment.end)
        line = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}  {shown}"
        if self._changes:
            print(f"\r{line[: _columns() - 1]}\x1b[K", end="", flush=True)
            self._open = True
        else:
            print(line, flush=True)

    def remark(self, sentence: str) -> None:
        """Print a remark below the changing line."""
        if self._open:
            print(flush=True)
            self._open = False
        say(sentence)

    def summary(self, watch: Watch, video: LiveVideo) -> None:
        """Print the number of answers and their latency."""
        from vidjax.evaluation.watching import percentile

        counts, latencies = video.counts, watch.latencies
        middle, late = percentile(latencies, 0.5), percentile(latencies, 0.95)
        if self._json:
            figures = {
                "answers": len(latencies), "skipped": watch.skipped, "window": round(watch.window, 3),
                "p50_latency": round(middle, 3), "p95_latency": round(late, 3), **dataclasses.asdict(counts),
            }  # fmt: skip
            print(json_line({"summary": figures}), flush=True)
        if not counts.frames:
            return
        height, width = video.size
        self.remark(
            f"{len(latencies)} answers, {watch.skipped} skipped; {counts.frames} frames of {width} x {height}, "
            f"{counts.dropped} dropped as late, {counts.damaged} damaged"
        )
        if latencies:
            say(
                f"latency from the first frame of a window ({watch.window:.2f} s) to its answer: "
                f"median {middle:.2f} s, p95 {late:.2f} s"
            )
        if late > watch.window + 1:
            say("the model cannot keep up; use fewer answers (--every), one crop (--crops 1) or a smaller model")


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


VERB = Verb(__doc__, add_arguments, run, "vidjax watch /dev/video0 --model=runs/finetune")
