"""Command-line options that change how clips are taken, and the notes about them."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from vidjax.cli.terminal import say
from vidjax.errors import ConfigError

if TYPE_CHECKING:
    from vidjax.data.clips.recipe import ClipRecipe
    from vidjax.data.video.readers import OpenVideo


def add_stride(parser: argparse.ArgumentParser) -> None:
    """Add --stride."""
    about = "step between the frames of a clip; 0 spreads them over the whole video (default: as the model was trained)"
    parser.add_argument("--stride", type=int, metavar="N", help=about)


def check_stride(arguments: argparse.Namespace) -> None:
    """Refuse a negative --stride."""
    if arguments.stride is not None and arguments.stride < 0:
        raise ConfigError(
            f"--stride={arguments.stride} must be at least 1, or 0 to spread the frames over the whole video"
        )


def add_windows(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --every and --window; `default` says what happens without --every."""
    add = parser.add_argument
    add("--every", type=float, metavar="SECONDS", help=f"slide a window over each video, at this stride ({default})")
    about = (
        "length of a window; the frames of its clip are spread over it (default: as long as a clip, or as --every for "
        "a model that spreads its frames over a video)"
    )
    add("--window", type=float, metavar="SECONDS", help=about)


def check_windows(arguments: argparse.Namespace) -> None:
    """Refuse an --every or --window that is not a positive number of seconds."""
    for name in ("every", "window"):
        if (value := getattr(arguments, name)) is not None and not 0 < value < math.inf:
            raise ConfigError(f"--{name}={value:g} must be above 0 seconds")


def note_short_video(sentence: str) -> None:
    """Print the note that a clip is longer than its video, with the option that helps."""
    say(f"note: {sentence} (see --stride)")


def note_if_short(name: str, video: OpenVideo, recipe: ClipRecipe) -> None:
    """Print a note if a clip is longer than the video.

    Raises:
      VideoError: when the video is a single picture.
    """
    from vidjax.data.clips.eval_views import too_short

    if sentence := too_short(name, video, recipe):
        note_short_video(sentence)
