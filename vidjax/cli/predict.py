"""`vidjax predict`: say what happens in videos: the most probable classes of a trained or downloaded classifier.

A video that cannot be decoded is reported with the reason; the others are answered, and the exit code is 3.
"""

from __future__ import annotations

import argparse
from typing import Any

from vidjax.cli import sources
from vidjax.cli.screen import print_json, progress, say
from vidjax.config import CHOICES
from vidjax.errors import ConfigError, VideoError

EXIT_MISSING_VIDEOS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help="video files")
    add("--model", required=True, metavar="SOURCE", help=sources.HELP)
    add("--top", type=int, default=5, metavar="K", help="classes to name (5)")
    add("--clips", type=int, default=1, metavar="N", help="clips, evenly spaced in time (1: in the middle)")
    add("--crops", type=int, default=1, metavar="N", help="crops along the long side (1: in the middle)")
    add("--stride", type=int, metavar="N", help=sources.STRIDE_HELP)
    add("--merge", choices=CHOICES["eval.merge"], help="of the views (as the model is evaluated)")
    add("--score", choices=("softmax", "sigmoid"), help="one label or any number (as the model was trained)")
    add("--json", action="store_true", help="print [{video, top: [{label, probability}]}]")


def run(arguments: argparse.Namespace) -> int:
    """Answer for every video; 3 when some could not be decoded."""
    for name in ("top", "clips", "crops"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name}={getattr(arguments, name)} must be at least 1")
    sources.check_videos(arguments.videos)
    predictor = _predictor(arguments)
    answers = []
    with progress("predicting", len(arguments.videos)) as advance:
        for video in arguments.videos:
            answers.append(_answer(predictor, video, arguments.top))
            advance()
    for answer in answers:
        if "error" in answer:
            say(f"vidjax: {answer['video']} is not answered: {answer['error']}")
    if arguments.json:
        print_json(answers)
    else:
        _print_tables(answers, predictor)
    return EXIT_MISSING_VIDEOS if any("error" in answer for answer in answers) else 0


def _predictor(arguments: argparse.Namespace) -> Any:
    from vidjax.config import DataConfig, EvalConfig
    from vidjax.evaluation.predict import Predictor

    model = sources.load(arguments.model)
    sources.check_classifier(model, arguments.model)
    stride, sampling = sources.sampling(model, arguments.stride)
    data = DataConfig(
        num_frames=model.spec.num_frames, image_size=sources.square_side(model.spec), stride=stride, sampling=sampling,
        mean=model.mean, std=model.std,
    )  # fmt: skip
    views = EvalConfig(clips=arguments.clips, crops=arguments.crops, merge=arguments.merge or model.merge)
    score = arguments.score or sources.score(model)
    return Predictor(model.module, model.params, data, views, score=score, labels=model.labels)


def _answer(predictor: Any, video: str, k: int) -> dict[str, Any]:
    try:
        sources.note_if_short(video, predictor.data)
        top = predictor.top(video, k)
    except VideoError as error:
        return {"video": video, "top": [], "error": str(error)}
    return {"video": video, "top": [{"label": label, "probability": p} for label, p in top]}


def _print_tables(answers: list[dict[str, Any]], predictor: Any) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, (clips, crops) = Console(), (predictor.eval.clips, predictor.eval.crops)
    views = "1 view" if clips * crops == 1 else f"{clips} x {crops} views"
    answered = [answer for answer in answers if "error" not in answer]
    for answer in answered:
        table = Table("label", "probability")
        for line in answer["top"]:
            table.add_row(Text(line["label"]), f"{line['probability']:.1%}")
        console.print(Text(answer["video"], "bold"), soft_wrap=True)
        console.print(table)
    if answered:
        say(f"{views} of {sources.clip_words(predictor.data)}; {_merge_words(predictor)}")


def _merge_words(predictor: Any) -> str:
    """How logits became probabilities."""
    score, merge = predictor.score, predictor.eval.merge
    if predictor.eval.clips * predictor.eval.crops == 1:
        return f"{score} of its logits"
    rules = {"mean_softmax": "mean of their {}", "sum_logits": "{} of their mean logits", "max": "largest of their {}"}
    return rules[merge].format(score)
