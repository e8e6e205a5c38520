"""`vidjax predict`: say what happens in videos: the most probable classes of a trained or downloaded classifier.

Of a model that was trained on several labels a video, its windows with a time line; of one of actions, the verb and the
noun of each; of a regression, its numbers. A video that cannot be decoded is reported with the reason; the others are
answered, and the exit code is 3.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.terminal import print_json, say, time_lines
from vidjax.cli.verb import Verb
from vidjax.config import choices
from vidjax.errors import ConfigError, VideoError, printable
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.data.clips.recipe import ClipRecipe
    from vidjax.evaluation.predict import Predictor

EXIT_MISSING_VIDEOS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help=paths.VIDEOS_HELP)
    add("--model", required=True, metavar="SOURCE", help=load_model.HELP)
    add("--top", type=int, default=5, metavar="K", help="classes to name (5)")
    add(
        "--clips",
        type=int,
        metavar="N",
        help="clips, evenly spaced in time (as its run is evaluated, or 1)",
    )
    add("--crops", type=int, metavar="N", help="crops along the long side (as its run is evaluated, or 1)")
    clip_options.add_stride(parser)
    add("--merge", choices=choices("eval.merge"), help="of the views, and of windows (as the model is evaluated)")
    add("--score", choices=("softmax", "sigmoid"), help="one label or any number (as the model was trained)")
    add("--every", type=float, metavar="SECONDS", help="slide a window over each video, at this stride (as trained)")
    add("--json", action="store_true", help="print [{video, top: [{label, probability}], windows: [...]}]")


def run(arguments: argparse.Namespace) -> int:
    """Answer for every video; 3 when some could not be decoded."""
    for name in ("top", "clips", "crops"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ConfigError(f"--{name}={value} must be at least 1")
    if arguments.every is not None and arguments.every <= 0:
        raise ConfigError(f"--every={arguments.every:g} must be above 0 seconds")
    clip_options.check_stride(arguments)
    videos = paths.find_videos(arguments.videos)
    model = load_model.load(arguments.model)
    load_model.check_classifier(model, arguments.model)
    from vidjax.weights.clip_recipes import RecipeChanges
    from vidjax.weights.predictors import make_predictor

    asked = RecipeChanges(
        stride=arguments.stride, clips=arguments.clips, crops=arguments.crops,
        merge=arguments.merge, score=arguments.score, every=arguments.every,
    )  # fmt: skip
    predictor = make_predictor(model, asked)
    answers = []
    with progress("predicting", len(videos)) as advance:
        for video in videos:
            answers.append(_answer(predictor, video, arguments.top, advance))
    for answer in answers:
        if "error" in answer:
            say(f"vidjax: {answer['video']} is not answered: {answer['error']}")
    if arguments.json:
        print_json(answers)
    else:
        _print_tables(answers, predictor)
    return EXIT_MISSING_VIDEOS if any("error" in answer for answer in answers) else 0


def _answer(predictor: Predictor, video: str, k: int, advance: Callable[[float], None]) -> dict[str, Any]:
    """What is said of a video, or why nothing is; `advance` hears of its views, and of all of it if there are none."""
    from vidjax.weights.predictors import answer

    try:
        return {"video": video, **answer(predictor, video, k, clip_options.note_short_video, advance)}
    except VideoError as error:
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
        for line in time_lines(answer.get("windows", [])):
            console.print(Text(line), soft_wrap=True)
    if answered:
        clip = predictor.recipe.words
        say(f"{_view_words(predictor.recipe)} of {clip}; {_merge_words(predictor)}")
        if windows := predictor.recipe.windows:
            merged = {"mean": "mean", "max": "largest probability"}[windows.merge]
            say(f"The table is the answer for the whole video: of each class, the {merged} over the windows.")


def _view_words(recipe: ClipRecipe) -> str:
    """What of a video was looked at."""
    if windows := recipe.windows:
        every = f"windows every {windows.seconds:g} s" if windows.seconds else f"{windows.count} windows"
        return every if recipe.crops == 1 else f"{recipe.crops} crops of {every}"
    return "1 view" if recipe.views == 1 else f"{recipe.clips} x {recipe.crops} views"


def _merge_words(predictor: Predictor) -> str:
    """How outputs became what is shown."""
    if not predictor.activation:
        return "its outputs" if predictor.recipe.views == 1 else "mean of their outputs"
    if predictor.recipe.views == 1:
        return f"{predictor.activation} of its logits"
    if predictor.recipe.merge == "sum_logits":
        return f"{predictor.activation} of their mean logits"
    reduced = "largest" if predictor.recipe.merge.startswith("max") else "mean"
    return f"{reduced} of their {predictor.activation}"


VERB = Verb(__doc__, add_arguments, run, "vidjax predict videos/ --model=MCG-NJU/videomae-base-finetuned-kinetics")
