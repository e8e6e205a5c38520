"""`vidjax reconstruct`: show what a masked autoencoder sees and how it fills in the rest, as PNG, GIF and MP4.

Clips are taken and masked as in training. If a video cannot be decoded, the reason is reported, the others are shown,
and the exit code is 3.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.terminal import print_json, print_paths, say
from vidjax.cli.verb import EXIT_MISSING_VIDEOS, Verb
from vidjax.config import Config, choices
from vidjax.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from vidjax.objectives import MaskedAutoencoding
    from vidjax.viz.reconstruction import Pictures

_OUT = "reconstructions"
_FILES = tuple(f"reconstruction.{kind}" for kind in ("png", "gif", "mp4"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help=f"{paths.VIDEOS_HELP}; the clip in the middle of each is taken")
    add("--model", required=True, metavar="SOURCE", help=load_model.HELP)
    about = f"folder for reconstruction.png, .gif and .mp4; with several videos, one subfolder for each ({_OUT}/NAME)"
    add("--out", default="", metavar="DIR", help=about)
    add("--mask-ratio", type=float, metavar="R", help="share to hide, above 0 and below 1 (as trained, or 0.9)")
    add(
        "--ratios",
        type=float,
        nargs="+",
        metavar="R",
        help="several shares to hide, drawn below each other, such as 0.5 0.75 0.9",
    )
    masks = tuple(name for name in choices("model.mask") if name != "attention")  # which needs a teacher
    add("--mask", choices=masks, help="the kind of mask (as trained, or tube)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the mask (0)")
    clip_options.add_stride(parser)
    add("--json", action="store_true", help="print [{video, png, gif, mp4, hidden: [{ratio, error}]}]")


def run(arguments: argparse.Namespace) -> int:
    """Draw the pictures and print their paths."""
    import jax

    from vidjax.cli.drawn_videos import draw_each
    from vidjax.ops.mesh_axes import local_mesh
    from vidjax.viz.reconstruction import write_reconstructions
    from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

    clip_options.check_stride(arguments)
    folders = paths.folders_of(paths.find_videos(arguments.videos), arguments.out, _OUT, _FILES)
    model = load_model.load(arguments.model)
    trained = load_model.check_autoencoder(model, arguments.model)
    objectives = _objectives(trained, arguments)
    if isinstance(model.config, Config) and objectives != [trained]:
        say(f"note: the model was trained with a {trained.mask} mask and a ratio of {trained.mask_ratio:g}")
    if len({objective.num_masked for objective in objectives}) < len(objectives):
        say(f"note: some of these ratios hide the same share, rounded to whole units of a {objectives[0].mask} mask")
    recipe = change_recipe(model.clips, RecipeChanges(stride=arguments.stride)).one_view()
    mesh = local_mesh(jax.local_devices()[:1])

    def draw(clips: np.ndarray, folder: str) -> Pictures:
        return write_reconstructions(objectives, model.params, clips, jax.random.key(arguments.seed), mesh, folder)

    drawn = draw_each(folders, recipe, draw, "reconstructing")
    if drawn:
        hidden = ", ".join(f"{objective.share_masked:.1%}" for objective in objectives)
        say(f"{recipe.words}; {hidden} of the cubes are hidden by a {objectives[0].mask} mask")
        say(next(iter(drawn.values())).caption)
    for name, pictures in drawn.items():
        errors = ", ".join(f"{error:.3f}" for error in pictures.errors)
        say(f"{name}: the mean error of hidden pixels is {errors} of their range")
    if arguments.json:
        ratios = [objective.share_masked for objective in objectives]
        print_json([_tree(name, pictures, ratios) for name, pictures in drawn.items()])
    else:
        print_paths(path for pictures in drawn.values() for path in pictures.files)
    return EXIT_MISSING_VIDEOS if len(drawn) < len(folders) else 0


def _tree(video: str, pictures: Pictures, ratios: list[float]) -> dict[str, Any]:
    errors = [{"ratio": ratio, "error": error} for ratio, error in zip(ratios, pictures.errors, strict=True)]
    return {"video": video, **pictures.files.named, "hidden": errors}


def _objectives(trained: MaskedAutoencoding, arguments: argparse.Namespace) -> list[MaskedAutoencoding]:
    """Return the model's objective with the requested mask, once for each ratio."""
    if arguments.ratios and arguments.mask_ratio is not None:
        raise ConfigError("--ratios and --mask-ratio both set the share to hide; give one of them")
    option, asked = ("--ratios", arguments.ratios) if arguments.ratios else ("--mask-ratio", [arguments.mask_ratio])
    found = []
    for ratio in asked:
        changes = {"mask": arguments.mask, "mask_ratio": ratio}
        changes = {name: value for name, value in changes.items() if value is not None}
        found.append(dataclasses.replace(trained, **changes))
        try:
            found[-1].num_masked  # noqa: B018 - rejects a ratio that hides nothing or everything
        except ConfigError as error:
            sentence = str(error).replace("model.mask_ratio", option).replace("model.mask=", "--mask=")
            raise ConfigError(sentence) from error
    return found


VERB = Verb(__doc__, add_arguments, run, "vidjax reconstruct video.mp4 --model=MCG-NJU/videomae-base")
