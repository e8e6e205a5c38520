"""`vidjax predict`: say what happens in videos: the most probable classes of a trained or downloaded classifier.

Of a model that was trained on several labels a video, its windows with a time line; of a regression, its numbers. A
video that cannot be decoded is reported with the reason; the others are answered, and the exit code is 3.
"""

from __future__ import annotations

import argparse
from typing import Any

from vidjax.cli import answering, model_source
from vidjax.cli.terminal import print_json, progress, say, time_line
from vidjax.config import choices
from vidjax.errors import ConfigError, VideoError

EXIT_MISSING_VIDEOS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help="video files")
    add("--model", required=True, metavar="SOURCE", help=model_source.HELP)
    add("--top", type=int, default=5, metavar="K", help="classes to name (5)")
    add("--clips", type=int, default=1, metavar="N", help="clips, evenly spaced in time (1: in the middle)")
    add("--crops", type=int, default=1, metavar="N", help="crops along the long side (1: in the middle)")
    add("--stride", type=int, metavar="N", help=model_source.STRIDE_HELP)
    add("--merge", choices=choices("eval.merge"), help="of the views (as the model is evaluated)")
    add("--score", choices=("softmax", "sigmoid"), help="one label or any number (as the model was trained)")
    add("--every", type=float, metavar="SECONDS", help="slide a window over each video, at this stride (as trained)")
    add("--json", action="store_true", help="print [{video, top: [{label, probability}], windows: [...]}]")


def run(arguments: argparse.Namespace) -> int:
    """Answer for every video; 3 when some could not be decoded."""
    for name in ("top", "clips", "crops"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name}={getattr(arguments, name)} must be at least 1")
    if arguments.every is not None and arguments.every <= 0:
        raise ConfigError(f"--every={arguments.every:g} must be above 0 seconds")
    model_source.check_videos(arguments.videos)
    model = model_source.load(arguments.model)
    model_source.check_classifier(model, arguments.model)
    options = ("stride", "clips", "crops", "merge", "score", "every")
    predictor, every = answering.predictor_of(model, **{name: getattr(arguments, name) for name in options})
    answers = []
    with progress("predicting", len(arguments.videos)) as advance:
        for video in arguments.videos:
            answers.append(_answer(predictor, video, arguments.top, every))
            advance()
    for answer in answers:
        if "error" in answer:
            say(f"vidjax: {answer['video']} is not answered: {answer['error']}")
    if arguments.json:
        print_json(answers)
    else:
        _print_tables(answers, predictor, every)
    return EXIT_MISSING_VIDEOS if any("error" in answer for answer in answers) else 0


def _answer(predictor: Any, video: str, k: int, every: float) -> dict[str, Any]:
    try:
        return {"video": video, **answering.answer(predictor, video, k, every)}
    except VideoError as error:
        return {"video": video, "top": [], "error": str(error)}


def _print_tables(answers: list[dict[str, Any]], predictor: Any, every: float) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, (clips, crops) = Console(), (predictor.eval.clips, predictor.eval.crops)
    views = "1 view" if clips * crops == 1 else f"{clips} x {crops} views"
    if every:
        views = f"windows every {every:g} s" if crops == 1 else f"{crops} crops of windows every {every:g} s"
    answered = [answer for answer in answers if "error" not in answer]
    for answer in answered:
        console.print(Text(answer["video"], "bold"), soft_wrap=True)
        if "values" in answer:
            table = Table("target", "value")
            for line in answer["values"]:
                table.add_row(Text(line["name"]), f"{line['value']:+.3f}")
        else:
            table = Table("label", "probability")
            for line in answer["top"]:
                table.add_row(Text(line["label"]), f"{line['probability']:.1%}")
        console.print(table)
        for line in answer.get("windows", ()):
            console.print(Text(time_line(line)), soft_wrap=True)
    if answered:
        merged = f", whose {predictor.eval.window_merge} is the video's" if every else ""
        say(f"{views} of {model_source.clip_words(predictor.data)}; {_merge_words(predictor)}{merged}")


def _merge_words(predictor: Any) -> str:
    """How logits became probabilities."""
    score, merge = predictor.score, predictor.eval.merge
    if predictor.eval.clips * predictor.eval.crops == 1:
        return f"{score} of its logits"
    rules = {"mean_softmax": "mean of their {}", "sum_logits": "{} of their mean logits", "max": "largest of their {}"}
    return rules[merge].format(score)
