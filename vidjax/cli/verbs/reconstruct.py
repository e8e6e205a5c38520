"""`vidjax reconstruct`: show what a masked autoencoder sees and what it makes of the rest, as PNG and GIF."""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.terminal import progress, say
from vidjax.cli.verb import Verb
from vidjax.config import choices
from vidjax.errors import ConfigError

if TYPE_CHECKING:
    from vidjax.objectives import MaskedAutoencoding
    from vidjax.weights import Pretrained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("video", metavar="VIDEO", help="a video file; the clip in its middle is taken")
    add("--model", required=True, metavar="SOURCE", help=load_model.HELP)
    add("--out", required=True, metavar="DIR", help="folder for reconstruction.png and reconstruction.gif")
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
    paths.check_videos([arguments.video])
    paths.check_writable(arguments.out)
    model = load_model.load(arguments.model)
    objective = _objective(model, arguments)
    recipe = change_recipe(model.clips, RecipeChanges(stride=arguments.stride)).one_view()
    with open_video(arguments.video) as video:
        clip_options.note_if_short(arguments.video, video, recipe)
        [clip] = window_views(video, recipe, [None])
    mesh = local_mesh(jax.local_devices()[:1])
    with progress("reconstructing"):
        key = jax.random.key(arguments.seed)
        pictures = write_reconstructions(objective, model.params, clip, key, mesh, arguments.out)
    hidden = objective.num_masked / model.spec.num_tokens
    say(f"{clip_options.clip_words(recipe)}; {hidden:.1%} of the cubes are hidden by a {objective.mask} mask")
    say(pictures.caption)
    print(os.fspath(pictures.png))
    print(os.fspath(pictures.gif))
    return 0


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
    return objective


VERB = Verb(__doc__, add_arguments, run)
