"""`vidjax demo`: a page in the browser where a video is uploaded, and its classes and a caption are read.

It needs gradio (extra `demo`), and is seen on this machine only unless --share asks gradio for a public address, for
which it asks for a password. Uploads have limits in bytes, seconds and pixels; one video is answered at a time.
"""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import os
import sys
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model
from vidjax.cli.terminal import segment_lines
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError, VideoError

if TYPE_CHECKING:
    from vidjax.evaluation.caption_generator import CaptionGenerator
    from vidjax.evaluation.predict import Predictor

_TOP = 5
USER, PASSWORD = "demo", "VIDJAX_DEMO_PASSWORD"  # the name to log in with; an environment variable
_SHORTEST = 12  # characters of a password
_WAITING = 16  # videos
_KEPT = 3600  # seconds; as often, uploads that are older are deleted
_PIXELS = 3840 * 2160  # of a frame
_FASTEST = 240  # frames a second, for all of the longest video


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is not answered.

    Attributes:
      megabytes: of a file; seconds: of a video.

    Raises:
      ConfigError: for a limit that is not above 0.
    """

    megabytes: int = 200
    seconds: int = 600

    def __post_init__(self):
        if min(self.megabytes, self.seconds) < 1:
            raise ConfigError(f"--max-mb={self.megabytes} and --max-seconds={self.seconds} must be at least 1")

    def check(self, video: str) -> None:
        """Refuse a video before more than its first frame is decoded.

        Raises:
          VideoError: too_large; or when it cannot be read.
        """
        from vidjax.data import probe_video
        from vidjax.data.video.container import check_file

        check_file(video)
        if os.path.getsize(video) > self.megabytes * 10**6:
            raise VideoError("too_large", f"the file has over {self.megabytes} MB")
        info = probe_video(video)
        if info.duration > self.seconds or info.frames > self.seconds * _FASTEST:
            length = f"{info.duration:.0f} seconds in {info.frames} frames"
            raise VideoError("too_large", f"the video has {length}; {self.seconds} seconds are answered")
        if info.width * info.height > _PIXELS:
            raise VideoError("too_large", f"frames of {info.width} x {info.height} are over 3840 x 2160 pixels")


_DEFAULT = Limits()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("--model", metavar="SOURCE", help=f"what classifies: {load_model.HELP}")
    add("--captioner", metavar="RUN", help="what describes: the folder of a run of task=captioning")
    add("--port", type=int, default=7860, help="of the page (7860)")
    about = f"ask gradio for a public address; its visitors log in as {USER!r} with a password that the environment "
    about += f"variable {PASSWORD} holds, or that is asked for here"
    add("--share", action="store_true", help=about)
    add("--max-mb", type=int, default=Limits.megabytes, metavar="N", help=f"of a file ({Limits.megabytes})")
    add("--max-seconds", type=int, default=Limits.seconds, metavar="N", help=f"of a video ({Limits.seconds})")


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    limits = Limits(arguments.max_mb, arguments.max_seconds)
    password = ask_password() if arguments.share else ""
    page = build_page(arguments.model, arguments.captioner, limits)
    try:
        serve(page, limits, arguments.port, password)
    except OSError as error:  # gradio's sentence names the port
        raise ConfigError(f"{error}; give another --port") from error
    return 0


def ask_password() -> str:
    """The password of a public page: from the environment, or typed without being shown.

    Raises:
      ConfigError: when there is nobody to ask, or it is too short.
    """
    password = os.environ.get(PASSWORD)
    if password is None:
        if not sys.stdin.isatty():
            raise ConfigError(
                f"--share puts the page on a public address, which needs a password: set {PASSWORD}, or start it from "
                "a terminal, where it is asked for"
            )
        password = getpass.getpass(f"password of the public page, at least {_SHORTEST} characters: ")
    if len(password) < _SHORTEST:
        raise ConfigError(f"a password of {len(password)} characters is too short; use at least {_SHORTEST}")
    return password


def serve(page: Any, limits: Limits, port: int, password: str = "") -> None:
    """Serve a page of gradio until it is interrupted: on this machine, and on a public address with a password."""
    # Without api_open=False, requests to /run would go past the queue.
    page.queue(max_size=_WAITING, default_concurrency_limit=1, api_open=False)
    page.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=bool(password),
        auth=(USER, password) if password else None,
        max_file_size=limits.megabytes * 10**6,
        enable_monitoring=False,
    )


def build_page(source: str | None, captioner: str | None, limits: Limits = _DEFAULT) -> Any:
    """A gradio page for a classifier, a captioner or both.

    Raises:
      ConfigError: when there is neither, or gradio is not installed.
      WeightsError: when one is not what it is given as.
    """
    if not source and not captioner:
        raise ConfigError("a demo needs --model SOURCE, --captioner RUN, or both")
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise ConfigError(f"vidjax demo needs {error.name}; pip install 'vidjax[demo]'") from error
    from vidjax.weights import predictors

    parts = []
    if source:
        model = load_model.load(source)
        load_model.check_classifier(model, source)
        parts.append(_Classes(gradio, predictors.make_predictor(model)))
    if captioner:
        model = load_model.load(captioner)
        load_model.check_captioner(model, captioner)
        parts.append(_Caption(gradio, predictors.make_caption_generator(model)))

    def describe(video: str | None) -> Any:
        if not video:
            raise gradio.Error("upload a video first")
        try:
            limits.check(video)
            found = [value for part in parts for value in part(video)]
        except VideoError as error:
            raise gradio.Error(str(error)) from error
        return found if len(found) > 1 else found[0]

    return gradio.Interface(
        describe,
        gradio.Video(label="video", sources=["upload"]),
        [shown for part in parts for shown in part.shown],
        title="vidjax",
        description=f"What is in a video, by {' and '.join(filter(None, (source, captioner)))}.",
        flagging_mode="never",
        concurrency_limit=1,
        delete_cache=(_KEPT, _KEPT),
        analytics_enabled=False,
    )


class _Classes:
    """The best classes, with a time line where windows slide; numbers of a regression."""

    def __init__(self, gradio: Any, predictor: Predictor):
        self._predictor = predictor
        if predictor.numbers:
            self.shown = [gradio.Dataframe(headers=["target", "value"], label="numbers")]
        else:
            self.shown = [gradio.Label(num_top_classes=_TOP, label="classes")]
        if predictor.recipe.windows:
            self.shown.append(gradio.Textbox(label="time line", lines=8))

    def __call__(self, video: str) -> list[Any]:
        from vidjax.weights.predictors import answer

        found = answer(self._predictor, video, _TOP, clip_options.note_short_video)
        if "values" in found:
            return [[[line["name"], round(line["value"], 3)] for line in found["values"]]]
        answers: list[Any] = [{line["label"]: line["probability"] for line in found["top"]}]
        if self._predictor.recipe.windows:
            answers.append("\n".join(segment_lines(found["segments"])))
        return answers


class _Caption:
    """A sentence."""

    def __init__(self, gradio: Any, generator: CaptionGenerator):
        self._generator, self.shown = generator, [gradio.Textbox(label="caption")]

    def __call__(self, video: str) -> list[str]:
        from vidjax.weights.predictors import caption

        return [caption(self._generator, video, clip_options.note_short_video)["caption"]]


VERB = Verb(__doc__, add_arguments, run, "vidjax demo --model=runs/finetune")
