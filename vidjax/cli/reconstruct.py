"""`vidjax reconstruct`: show what a masked autoencoder sees and what it makes of the rest, as PNG and GIF."""

from __future__ import annotations

import argparse
import os

from vidjax.cli import model_source
from vidjax.cli.terminal import progress, say
from vidjax.config import choices
from vidjax.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("video", metavar="VIDEO", help="a video file; the clip in its middle is taken")
    add("--model", required=True, metavar="SOURCE", help=model_source.HELP)
    add("--out", required=True, metavar="DIR", help="folder for reconstruction.png and reconstruction.gif")
    add("--mask-ratio", type=float, default=0.9, metavar="R", help="hidden share, above 0 and below 1 (0.9)")
    add("--mask", choices=choices("model.mask"), default="tube", help="what is hidden together (tube)")
    add("--seed", type=int, default=0, metavar="N", help="of the mask (0)")
    add("--stride", type=int, metavar="N", help=model_source.STRIDE_HELP)


def run(arguments: argparse.Namespace) -> int:
    """Draw the pictures and say what they show."""
    import jax

    from vidjax.config import DataConfig, EvalConfig
    from vidjax.data.clips.eval_views import protocol_views
    from vidjax.ops.mesh_axes import local_mesh
    from vidjax.viz.reconstruction import write_reconstructions

    model_source.check_videos([arguments.video])
    model_source.check_writable(arguments.out)
    model = model_source.load(arguments.model)
    objective = _objective(model, arguments)
    stride, sampling = model_source.sampling(model, arguments.stride)
    side = model_source.square_side(model.spec)
    data = DataConfig(num_frames=model.spec.num_frames, image_size=side, stride=stride, sampling=sampling)
    model_source.note_if_short(arguments.video, data)
    clip = protocol_views(arguments.video, data, EvalConfig(clips=1, crops=1))
    mesh = local_mesh(jax.local_devices()[:1])
    with progress("reconstructing"):
        key = jax.random.key(arguments.seed)
        pictures = write_reconstructions(objective, model.params, clip, key, mesh, arguments.out)
    hidden = objective.num_masked / model.spec.num_tokens
    say(f"{model_source.clip_words(data)}; {hidden:.1%} of the cubes are hidden by a {arguments.mask} mask")
    say(pictures.caption)
    print(os.fspath(pictures.png))
    print(os.fspath(pictures.gif))
    return 0


def _objective(model, arguments: argparse.Namespace):
    """The masked autoencoder as an objective, whose `reconstruct` the pictures are made by."""
    from vidjax.objectives.masked_autoencoding import MaskedAutoencoding

    model_source.check_autoencoder(model, arguments.model)
    objective = MaskedAutoencoding(
        model.module, arguments.mask, arguments.mask_ratio, model_source.normalizes_target(model), model.mean, model.std
    )
    try:
        objective.num_masked  # noqa: B018 - refuses a ratio that hides nothing or everything
    except ConfigError as error:
        raise ConfigError(str(error).replace("model.mask_ratio", "--mask-ratio")) from error
    return objective
