"""`vidjax predict`: classify videos with a trained or downloaded model, and show the most probable classes.

An action model predicts a verb and a noun, and a regression model predicts numbers. --every or --window, or a model
trained on windows, adds a timeline, in which consecutive windows with the same answer form one segment. The timeline
is printed and, on request, written as subtitles, a table, a page with pictures or an annotated copy of the video.
A model with a text tower, such as a CLIP, a VideoPrism with texts or a run with task=contrastive, predicts the classes
that --classes names.
If a video cannot be decoded, the reason is reported, the others are classified, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model, paths, timeline_files
from vidjax.cli.terminal import print_json, say, segment_lines
from vidjax.cli.verb import EXIT_MISSING_VIDEOS, Verb
from vidjax.config import choices
from vidjax.data.class_texts import TEMPLATES, check_classes, check_templates, read_lines
from vidjax.errors import ConfigError, OutputError, VideoError, printable
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.data.clips.recipe import ClipRecipe
    from vidjax.evaluation.predict import Predictor

_USUAL = 1.0  # seconds between windows for a timeline file without --every or --window


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help=paths.VIDEOS_HELP)
    add("--model", required=True, metavar="SOURCE", help=load_model.HELP)
    about = "the classes in words, for a model with a text tower; or a file with one class per line"
    add("--classes", nargs="+", metavar="CLASS", help=about)
    about = (
        f"texts with {{}} for the class, or a file with one per line; their embeddings are averaged ({TEMPLATES[0]!r})"
    )
    add("--templates", nargs="+", metavar="TEXT", help=about)
    add("--top", type=int, default=5, metavar="K", help="classes to show (5)")
    add(
        "--clips",
        type=int,
        metavar="N",
        help="clips, evenly spaced in time (as the model is evaluated, or 1)",
    )
    add("--crops", type=int, metavar="N", help="crops along the long side (as the model is evaluated, or 1)")
    clip_options.add_stride(parser)
    add("--merge", choices=choices("eval.merge"), help="how to merge views and windows (as the model is evaluated)")
    about = "softmax for one label per video, sigmoid for several (as trained)"
    add("--score", choices=("softmax", "sigmoid"), help=about)
    clip_options.add_windows(parser, "as trained")
    about = "lowest probability of a class in a timeline (0.5 for several labels per video, else 0)"
    add("--threshold", type=float, metavar="P", help=about)
    timeline_files.add_arguments(parser)
    about = "print [{video, top: [{label, probability}], windows: [...], segments: [...]}]"
    add("--json", action="store_true", help=about)


def run(arguments: argparse.Namespace) -> int:
    """Answer for every video; return 3 if some could not be decoded."""
    for name in ("top", "clips", "crops"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ConfigError(f"--{name}={value} must be at least 1")
    clip_options.check_windows(arguments)
    clip_options.check_stride(arguments)
    videos = paths.find_videos(arguments.videos)
    files = timeline_files.find_files(arguments, videos)
    classes, templates = _texts(arguments)
    model = load_model.load(arguments.model)
    if classes:
        from vidjax.weights.zero_shot import with_classes

        say(f"note: a class is read as {', '.join(map(repr, templates))} (see --templates)")
        model = with_classes(model, classes, templates)
    load_model.check_classifier(model, arguments.model)
    from vidjax.weights.clip_recipes import RecipeChanges
    from vidjax.weights.predictors import make_predictor

    asked = RecipeChanges(
        stride=arguments.stride, clips=arguments.clips, crops=arguments.crops,
        merge=arguments.merge, score=arguments.score, every=arguments.every, window=arguments.window,
        threshold=arguments.threshold,
    )  # fmt: skip
    if files and not model.clips.windows and not (asked.every or asked.window):
        say(f"note: a window every {_USUAL:g} s (see --every)")
        asked = dataclasses.replace(asked, every=_USUAL)
    predictor = make_predictor(model, asked)
    answers = []
    with progress("predicting", len(videos)) as advance:
        for video in videos:
            answers.append(_answer(predictor, video, arguments.top, advance))
    failed = [_written(files, answer) for answer in answers if files.of_each and "error" not in answer]
    files.write_of_all(answers, f"{_view_words(predictor.recipe)}, by {model.source}")
    for answer in answers:
        if "error" in answer:
            say(f"vidjax: no answer for {answer['video']}: {answer['error']}")
    if arguments.json:
        print_json(answers)
    else:
        _print_tables(answers, predictor)
    return EXIT_MISSING_VIDEOS if any(failed) or any("error" in answer for answer in answers) else 0


def _texts(arguments: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes and the templates; no classes for a model that has its own."""
    if arguments.classes is None:
        if arguments.templates is not None:
            raise ConfigError("--templates are texts around the classes of --classes; give --classes too")
        return (), ()
    templates = TEMPLATES if arguments.templates is None else read_lines(arguments.templates)
    return check_classes(read_lines(arguments.classes)), check_templates(templates)


def _written(files: timeline_files.Files, answer: dict[str, Any]) -> bool:
    """Write the files of a video; return True if its annotated copy could not be written."""
    if reason := files.write_of(answer):
        say(f"vidjax: no annotated copy of {answer['video']}: {reason}")
    return bool(reason)


def _answer(predictor: Predictor, video: str, k: int, advance: Callable[[float], None]) -> dict[str, Any]:
    """Return the answer for a video, or the error; `advance` is called for each view, and in full on an error."""
    from vidjax.weights.predictors import answer

    try:
        return {"video": video, **answer(predictor, video, k, clip_options.note_short_video, advance)}
    except (OutputError, VideoError) as error:
        advance(1)
        return {"video": video, "top": [], "error": str(error)}


def _print_tables(answers: list[dict[str, Any]], predictor: Predictor) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    answered = [answer for answer in answers if "error" not in answer]
    for answer in answered:
        console.print(Text(printable(answer["video"]), "bold"), soft_wrap=True)
        if "values" in answer:
            table = Table("target", "value")
            for line in answer["values"]:
                table.add_row(Text(printable(line["name"])), f"{line['value']:+.3f}")
        else:
            named = ("verb", "noun") if "verb" in answer["top"][0] else ("label",)
            table = Table(*named, "probability")
            for line in answer["top"]:
                table.add_row(*(Text(printable(line[name])) for name in named), f"{line['probability']:.1%}")
        console.print(table)
        for line in segment_lines(answer.get("segments", [])):
            console.print(Text(line), soft_wrap=True)
    if answered:
        say(f"{_view_words(predictor.recipe)}; {_merge_words(predictor)}")
        if windows := predictor.recipe.windows:
            merged = {"mean": "mean", "max": "largest probability"}[windows.merge]
            each = "number" if predictor.numbers else "class"
            say(f"The table is the answer for the whole video: the {merged} of each {each} over the windows.")
            for remark in _remarks(answered):
                say(remark)


def _remarks(answered: list[dict[str, Any]]) -> Iterator[str]:
    """Yield remarks that help to read the timelines."""
    windows = [window for answer in answered for window in answer["windows"]]
    long = max(window["end"] - window["start"] for window in windows)  # a short video has one shorter window
    pairs = (pair for answer in answered for pair in itertools.pairwise(answer["windows"]))
    if any(following["start"] > window["end"] for window, following in pairs):
        yield f"Each window covers {long:.2g} s; the model does not see the video between windows."
    segments = [segment for answer in answered for segment in answer["segments"] if "agree" in segment]
    if flickers := sum(segment["windows"] - segment["agree"] for segment in segments):
        yield (
            f"An answer that holds for less than {long / 2:.2g} s, half a window, is merged into the segments around "
            f"it; this affects {flickers} of {len(windows)} windows. --json has the answer of each window."
        )
    if any(not answer["segments"] for answer in answered):
        yield "A timeline is empty because no class is probable enough; a lower --threshold shows more."


def _view_words(recipe: ClipRecipe) -> str:
    """Describe the views or windows of a video and their clips."""
    if windows := recipe.windows:
        every = (
            f"one window every {windows.seconds:g} s"
            if windows.seconds
            else f"{windows.count} window{'s' * (windows.count != 1)}"
        )
        crops = "" if recipe.crops == 1 else f" with {recipe.crops} crops"
        return f"{every}, each{crops} of {recipe.words}"
    views = "1 view" if recipe.views == 1 else f"{recipe.clips} x {recipe.crops} views"
    return f"{views} of {recipe.words}"


def _merge_words(predictor: Predictor) -> str:
    """Describe how the outputs were merged."""
    if not predictor.activation:
        return "the outputs" if predictor.recipe.views == 1 else "mean of their outputs"
    if predictor.recipe.views == 1:
        return f"{predictor.activation} of the logits"
    if predictor.recipe.merge == "sum_logits":
        return f"{predictor.activation} of their mean logits"
    reduced = "largest" if predictor.recipe.merge.startswith("max") else "mean"
    return f"{reduced} of their {predictor.activation}"


VERB = Verb(__doc__, add_arguments, run, "vidjax predict videos/ --model=MCG-NJU/videomae-base-finetuned-kinetics")
