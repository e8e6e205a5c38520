"""`vidjax caption`: describe each video in a sentence, with a captioner trained with vidjax.

If a video cannot be decoded, the reason is reported, the others are described, and the exit code is 3.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import EXIT_MISSING_VIDEOS, Verb
from vidjax.errors import ConfigError, VideoError, printable
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.evaluation.caption_generator import CaptionGenerator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help=paths.VIDEOS_HELP)
    add("--model", required=True, metavar="RUN", help="the folder of a run of task=captioning")
    add("--beams", type=int, metavar="K", help="width of the beam search; 1 for greedy decoding (as trained)")
    add("--max-tokens", type=int, metavar="N", help="longest caption, in tokens (as trained)")
    clip_options.add_stride(parser)
    add("--json", action="store_true", help="print [{video, caption, log_probability}]")


def run(arguments: argparse.Namespace) -> int:
    """Describe every video; return 3 if some could not be decoded."""
    for name in ("beams", "max_tokens"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')}={value} must be at least 1")
    clip_options.check_stride(arguments)
    videos = paths.find_videos(arguments.videos)
    model = load_model.load(arguments.model)
    load_model.check_captioner(model, arguments.model)
    from vidjax.weights.predictors import make_caption_generator

    generator = make_caption_generator(
        model, stride=arguments.stride, beams=arguments.beams, max_tokens=arguments.max_tokens
    )
    answers = []
    with progress("describing", len(videos)) as advance:
        for video in videos:
            answers.append(_answer(generator, video))
            advance()
    for answer in answers:
        if "error" in answer:
            say(f"vidjax: {answer['video']} is not described: {answer['error']}")
    if arguments.json:
        print_json(answers)
    else:
        _print(answers)
    return EXIT_MISSING_VIDEOS if any("error" in answer for answer in answers) else 0


def _answer(generator: CaptionGenerator, video: str) -> dict[str, Any]:
    from vidjax.weights.predictors import caption

    try:
        return {"video": video, **caption(generator, video, clip_options.note_short_video)}
    except VideoError as error:
        return {"video": video, "caption": "", "error": str(error)}


def _print(answers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.text import Text

    for answer in answers:
        if "error" not in answer:
            video, caption = printable(answer["video"]), printable(answer["caption"])
            Console().print(Text.assemble((video, "bold"), "  ", caption), soft_wrap=True)


VERB = Verb(__doc__, add_arguments, run, "vidjax caption videos/*.mp4 --model=runs/captions --beams=4")
