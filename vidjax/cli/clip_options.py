"""How clips are taken, on the command line: the options that change a model's recipe, and remarks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vidjax.cli.terminal import say
from vidjax.errors import ConfigError

if TYPE_CHECKING:
    from vidjax.data.clips.recipe import ClipRecipe
    from vidjax.data.video.readers import OpenVideo


def add_stride(parser: argparse.ArgumentParser) -> None:
    """Add --stride."""
    about = "between the frames of a clip; 0 spreads them over the whole video (as the model was trained)"
    parser.add_argument("--stride", type=int, metavar="N", help=about)


def check_stride(arguments: argparse.Namespace) -> None:
    """Refuse a negative --stride."""
    if arguments.stride is not None and arguments.stride < 0:
        raise ConfigError(
            f"--stride={arguments.stride} must be at least 1, or 0 to spread the frames over the whole video"
        )


def note_short_video(sentence: str) -> None:
    """Show the remark that a clip is longer than its video, with what can be done."""
    say(f"note: {sentence} (see --stride)")


def note_if_short(name: str, video: OpenVideo, recipe: ClipRecipe) -> None:
    """Show that remark for a video that is too short.

    Raises:
      VideoError: when it is a picture.
    """
    from vidjax.data.clips.eval_views import too_short

    if sentence := too_short(name, video, recipe):
        note_short_video(sentence)
