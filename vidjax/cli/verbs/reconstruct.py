"""`vidjax reconstruct`: show what a masked autoencoder sees and what it makes of the rest, as PNG and GIF.

Clips are taken and hidden as the model was trained. A video of several that cannot be decoded is reported with the
reason; the others are shown, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.terminal import say
from vidjax.cli.verb import Verb
from vidjax.config import Config, choices
from vidjax.errors import ConfigError, VideoError
from vidjax.progress import progress

if TYPE_CHECKING:
    from vidjax.objectives import MaskedAutoencoding
    from vidjax.weights import Pretrained

EXIT_MISSING_VIDEOS = 3
_OUT = "reconstructions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help=f"{paths.VIDEOS_HELP}; the clip in the middle of each is taken")
    add("--model", required=True, metavar="SOURCE", help=load_model.HELP)
    about = f"folder of reconstruction.png and .gif; with several videos, of a folder for each ({_OUT}/NAME)"
    add("--out", default="", metavar="DIR", help=about)
    add("--mask-ratio", type=float, metavar="R", help="hidden share, above 0 and below 1 (as trained, or 0.9)")
    add("--mask", choices=choices("model.mask"), help="what is hidden together (as trained, or tube)")
    add("--seed", type=int, default=0, metavar="N", help="of the mask (0)")
    clip_options.add_stride(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw the pictures and say what they show."""
    import jax

    from vidjax.data.clips.eval_views import window_views
    from vidjax.data.video.readers import open_video
    from vidjax.ops.mesh_axes import local_mesh
    from vidjax.viz.reconstruction import write_reconstructions
    from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

    clip_options.check_stride(arguments)
    videos = paths.find_videos(arguments.videos)
    folders = _folders(videos, arguments.out)
    for folder in folders:
        paths.check_writable(folder)
    model = load_model.load(arguments.model)
    objective = _objective(model, arguments)
    recipe = change_recipe(model.clips, RecipeChanges(stride=arguments.stride)).one_view()
    mesh = local_mesh(jax.local_devices()[:1])
    drawn, failed = [], []
    with progress("reconstructing", len(videos)) as advance:
        for name, folder in zip(videos, folders, strict=True):
            try:
                with open_video(name) as video:
                    clip_options.note_if_short(name, video, recipe)
                    [clip] = window_views(video, recipe, [None])
                key = jax.random.key(arguments.seed)
                drawn.append(write_reconstructions(objective, model.params, clip, key, mesh, folder))
            except VideoError as error:
                if len(videos) == 1:
                    raise
                failed.append(f"{name} is not shown: {error}")
            advance()
    for sentence in failed:
        say(f"vidjax: {sentence}")
    if drawn:
        hidden = objective.num_masked / model.spec.num_tokens
        say(f"{recipe.words}; {hidden:.1%} of the cubes are hidden by a {objective.mask} mask")
        say(drawn[0].caption)
    for pictures in drawn:
        print(os.fspath(pictures.png))
        print(os.fspath(pictures.gif))
    return EXIT_MISSING_VIDEOS if failed else 0


def _folders(videos: list[str], out: str) -> list[str]:
    """Where the pictures of each video go."""
    if len(videos) == 1 and out:
        return [out]
    names = [pathlib.Path(video).stem for video in videos]
    if len(set(names)) < len(names):
        places = [pathlib.Path(video).absolute() for video in videos]
        common = os.path.commonpath([place.parent for place in places])
        names = [os.path.relpath(place, common) for place in places]
    return [os.path.join(out or _OUT, name) for name in names]


def _objective(model: Pretrained, arguments: argparse.Namespace) -> MaskedAutoencoding:
    """The model's objective, with the mask that is asked for."""
    trained = load_model.check_autoencoder(model, arguments.model)
    asked = {"mask": arguments.mask, "mask_ratio": arguments.mask_ratio}
    asked = {name: value for name, value in asked.items() if value is not None}
    objective = dataclasses.replace(trained, **asked)
    try:
        objective.num_masked  # noqa: B018 - refuses a ratio that hides nothing or everything
    except ConfigError as error:
        raise ConfigError(str(error).replace("model.mask_ratio", "--mask-ratio")) from error
    if isinstance(model.config, Config) and objective != trained:
        say(f"note: it was trained with a {trained.mask} mask and a ratio of {trained.mask_ratio:g}")
    return objective


VERB = Verb(__doc__, add_arguments, run, "vidjax reconstruct video.mp4 --model=MCG-NJU/videomae-base")
