"""`vidjax compare`: run several classifiers on the same videos, and show their answers, agreement and times.

Each model takes clips by its own recipe. Classes are compared by name. The time of a video runs from opening its file
to the answer; compilation is timed separately. If a video cannot be decoded, the reason is reported, the others are
compared, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import EXIT_MISSING_VIDEOS, Verb
from vidjax.errors import ConfigError, OutputError, VideoError, WeightsError, printable
from vidjax.progress import progress

if TYPE_CHECKING:
    from rich.text import Text

    from vidjax.evaluation.agreement import Agreement, Said
    from vidjax.evaluation.predict import Predictor

    Pair: TypeAlias = tuple["_Asked", "_Asked", Agreement]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help=paths.VIDEOS_HELP)
    add("--models", required=True, nargs="+", metavar="SOURCE", help=f"two or more, each {load_model.HELP}")
    add("--clips", type=int, metavar="N", help="clips, evenly spaced in time (as each model is evaluated, or 1)")
    add("--crops", type=int, metavar="N", help="crops along the long side (as each model is evaluated, or 1)")
    add("--json", action="store_true", help="print {models: [...], videos: [...], agreement: [...]}")


def run(arguments: argparse.Namespace) -> int:
    """Run every model on every video; return 3 if some could not be decoded."""
    if len(arguments.models) < 2:
        raise ConfigError("--models takes two or more models; use `vidjax predict` for one")
    for name in ("clips", "crops"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ConfigError(f"--{name}={value} must be at least 1")
    from vidjax.evaluation.agreement import agreement

    videos = list(dict.fromkeys(paths.find_videos(arguments.videos)))
    asked = [_ask(source, videos, arguments) for source in arguments.models]
    pairs = [(a, b, agreement(a.said, b.said)) for a, b in itertools.combinations(asked, 2)]
    failed = {
        video: answers["error"] for each in asked for video, answers in each.answers.items() if "error" in answers
    }
    for video, error in failed.items():
        say(f"vidjax: no answer for {video}: {error}")
    if arguments.json:
        print_json(_tree(videos, asked, pairs))
    else:
        _print_tables(videos, asked, pairs)
    return EXIT_MISSING_VIDEOS if failed else 0


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A model and its answers by video: a label with its probability and seconds, or an error."""

    source: str
    clip: str
    classes: int
    labels: tuple[str, ...] | None
    compile_seconds: float
    answers: dict[str, dict[str, Any]]

    @property
    def said(self) -> Said:
        from vidjax.evaluation.agreement import Said

        best = [answer.get("label") for answer in self.answers.values()]
        return Said(best, self.classes, self.labels)

    @property
    def seconds(self) -> float | None:
        """Mean seconds per video; None if there is no answer."""
        found = [answer["seconds"] for answer in self.answers.values() if "seconds" in answer]
        return sum(found) / len(found) if found else None


def _ask(source: str, videos: list[str], arguments: argparse.Namespace) -> _Asked:
    model = load_model.load(source)
    load_model.check_classifier(model, source)
    from vidjax.weights.clip_recipes import RecipeChanges
    from vidjax.weights.predictors import make_predictor

    predictor = make_predictor(model, RecipeChanges(clips=arguments.clips, crops=arguments.crops))
    if predictor.numbers:
        raise WeightsError(f"{source} predicts numbers, not classes; compare classifiers")
    with progress(f"compiling {source}"):
        start = time.perf_counter()
        predictor.compile()
        compiled = time.perf_counter() - start
    with progress(f"asking {source}", len(videos)) as advance:
        answers = {video: _answer(predictor, video, advance) for video in videos}
    return _Asked(source, predictor.recipe.words, model.num_classes or 0, model.labels, compiled, answers)


def _answer(predictor: Predictor, video: str, advance: Callable[[float], None]) -> dict[str, Any]:
    """Return the best class of a video, or the error."""
    from vidjax.weights.predictors import answer

    start = time.perf_counter()
    try:
        [best] = answer(predictor, video, 1, clip_options.note_short_video, advance)["top"]
    except (OutputError, VideoError) as error:
        advance(1)
        return {"error": str(error)}
    seconds = round(time.perf_counter() - start, 4)
    return {"label": best["label"], "probability": best["probability"], "seconds": seconds}


def _tree(videos: list[str], asked: list[_Asked], pairs: list[Pair]) -> dict[str, Any]:
    models = [
        {
            "model": each.source, "clip": each.clip, "classes": each.classes,
            "compile_seconds": round(each.compile_seconds, 3), "seconds": each.seconds,
        }
        for each in asked
    ]  # fmt: skip
    answers = [{"video": video, "answers": [each.answers[video] for each in asked]} for video in videos]
    agreements = [
        {"models": [a.source, b.source], "share": found.share, **dataclasses.asdict(found)} for a, b, found in pairs
    ]
    return {"models": models, "videos": answers, "agreement": agreements}


def _print_tables(videos: list[str], asked: list[_Asked], pairs: list[Pair]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    letters = [_letters(number) for number in range(len(asked))]
    for letter, each in zip(letters, asked, strict=True):
        console.print(Text(f"{letter}  {printable(each.source)}: {each.clip}"), soft_wrap=True)
    table = Table("video", *letters)
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(video)) for video in videos])
    for video in videos:
        table.add_row(Text(printable(os.path.relpath(video, folder))), *(_cell(each.answers[video]) for each in asked))
    table.add_section()
    table.add_row("seconds, mean", *("" if each.seconds is None else f"{each.seconds:.3f}" for each in asked))
    table.add_row("to compile", *(f"{each.compile_seconds:.1f}" for each in asked))
    console.print(table)
    named = {id(each): letter for letter, each in zip(letters, asked, strict=True)}
    for a, b, found in pairs:
        same = f"the same class in {found.same} of {found.videos} videos"
        share = "" if found.share is None else f"{same} ({found.share:.0%})"
        words = "; ".join(filter(None, (share, found.remark)))
        console.print(Text(f"{named[id(a)]} and {named[id(b)]}: {words}"), soft_wrap=True)


def _letters(number: int) -> str:
    """Return A to Z, then AA, AB and so on, like the columns of a spreadsheet."""
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def _cell(answer: dict[str, Any]) -> Text:
    from rich.text import Text

    if "error" in answer:
        return Text("-")
    return Text(f"{printable(answer['label'])} {answer['probability']:.0%}\n{answer['seconds']:.3f} s")


VERB = Verb(__doc__, add_arguments, run, "vidjax compare videos/ --models runs/finetune runs/scratch")
