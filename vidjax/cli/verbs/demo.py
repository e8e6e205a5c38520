"""`vidjax demo`: a page in the browser where a video is uploaded, and its classes and a caption are read.

It needs gradio (extra `demo`), and is seen on this machine only unless --share asks gradio for a public address.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model
from vidjax.cli.terminal import time_lines
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError, VideoError

if TYPE_CHECKING:
    from vidjax.evaluation.caption_generator import CaptionGenerator
    from vidjax.evaluation.predict import Predictor

_TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("--model", metavar="SOURCE", help=f"what classifies: {load_model.HELP}")
    add("--captioner", metavar="RUN", help="what describes: the folder of a run of task=captioning")
    add("--port", type=int, default=7860, help="of the page (7860)")
    add("--share", action="store_true", help="ask gradio for a public address, for 72 hours")


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    page = build_page(arguments.model, arguments.captioner)
    try:
        page.launch(server_port=arguments.port, share=arguments.share)
    except OSError as error:  # gradio's sentence names the port
        raise ConfigError(f"{error}; give another --port") from error
    return 0


def build_page(source: str | None, captioner: str | None) -> Any:
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
            answers.append("\n".join(time_lines(found["windows"])))
        return answers


class _Caption:
    """A sentence."""

    def __init__(self, gradio: Any, generator: CaptionGenerator):
        self._generator, self.shown = generator, [gradio.Textbox(label="caption")]

    def __call__(self, video: str) -> list[str]:
        from vidjax.weights.predictors import caption

        return [caption(self._generator, video, clip_options.note_short_video)["caption"]]


VERB = Verb(__doc__, add_arguments, run, "vidjax demo --model=runs/finetune")
