"""`vidjax attention`: draw where a model looks in videos, by roll-out and by layer, as PNG, GIF and MP4.

Models with divided space-time attention get one map for space and one for time; for VideoMamba, the hidden attention of
its scans is shown. One clip is taken from the middle of each video. If a video cannot be decoded, the reason is
reported, the others are shown, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.terminal import print_json, print_paths, say
from vidjax.cli.verb import EXIT_MISSING_VIDEOS, Verb
from vidjax.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from vidjax.evaluation.attention import AttentionMaps

_OUT = "attention"
_FILES = tuple(f"attention.{kind}" for kind in ("png", "gif", "mp4", "npz"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help=f"{paths.VIDEOS_HELP}; the clip in the middle of each is taken")
    add("--model", required=True, metavar="SOURCE", help=load_model.HELP)
    about = "folder for attention.png, .gif, .mp4 and .npz (the arrays); with several videos, one subfolder for each "
    add("--out", default="", metavar="DIR", help=f"{about}({_OUT}/NAME)")
    add("--layer", type=int, metavar="N", help="layer to show, counted from 1 (default: the last)")
    add("--head", type=int, metavar="N", help="head to show, counted from 1 (default: the mean over heads)")
    clip_options.add_stride(parser)
    add("--json", action="store_true", help="print [{video, png, gif, mp4, npz}]")


def run(arguments: argparse.Namespace) -> int:
    """Draw the pictures and print their paths."""
    from vidjax.cli.drawn_videos import draw_each
    from vidjax.evaluation.attention import attention_maps, map_sizes
    from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

    clip_options.check_stride(arguments)
    folders = paths.folders_of(paths.find_videos(arguments.videos), arguments.out, _OUT, _FILES)
    model = load_model.load(arguments.model)
    recipe = change_recipe(model.clips, RecipeChanges(stride=arguments.stride)).one_view()
    _check(map_sizes(model), arguments.layer, arguments.head)
    shown: dict[str, np.ndarray] = {}

    def draw(clips: np.ndarray, folder: str) -> dict[str, str]:
        maps = attention_maps(model, clips[0])
        shown.update(_chosen(maps, arguments.layer, arguments.head))
        return _draw(maps, shown, clips[0, ..., ::-1] if recipe.channels == "bgr" else clips[0], folder)

    drawn = draw_each(folders, recipe, draw, "drawing")
    if drawn:
        say(f"{recipe.words}; maps: {'; '.join(shown)}")
    if arguments.json:
        print_json([{"video": name} | files for name, files in drawn.items()])
    else:
        print_paths(path for files in drawn.values() for path in files.values())
    return EXIT_MISSING_VIDEOS if len(drawn) < len(folders) else 0


def _check(sizes: dict[str, tuple[int, int]], layer: int | None, head: int | None) -> None:
    """Reject a layer or a head that no kind of map has."""
    for what, asked, sizes_of in (("layer", layer, 0), ("head", head, 1)):
        most = max(size[sizes_of] for size in sizes.values())
        if asked is not None and not 1 <= asked <= most:
            raise ConfigError(f"--{what}={asked}: the maps of this model have {what}s 1 to {most}")


def _chosen(maps: AttentionMaps, layer: int | None, head: int | None) -> dict[str, np.ndarray]:
    """Return the roll-out, and the chosen layer and head of each kind of map that has them, by title."""
    found = {"roll-out": maps.rollout}
    for kind, of_layers in maps.layers.items():
        number = layer or len(of_layers)
        if number > len(of_layers) or (head or 1) > of_layers.shape[1]:
            continue  # the second encoder of a ViViT has fewer layers
        of_heads = of_layers[number - 1]
        words = f"{kind}, layer {number}" + (f", head {head}" if head else "")
        found[words] = of_heads[head - 1] if head else of_heads.mean(axis=0)
    return found


def _draw(maps: AttentionMaps, shown: dict[str, np.ndarray], clip: np.ndarray, folder: str) -> dict[str, str]:
    """Write the files; return their paths by kind."""
    import io

    import numpy as np

    from vidjax.files import located, write_whole
    from vidjax.viz.attention import draw_maps

    files = draw_maps(clip, shown, folder)
    arrays: dict[str, Any] = {"rollout": maps.rollout, **maps.layers}
    numbers, npz = io.BytesIO(), located(folder) / "attention.npz"
    np.savez_compressed(numbers, **arrays)
    write_whole(npz, numbers.getvalue())
    return {**files.named, "npz": os.fspath(npz)}


VERB = Verb(__doc__, add_arguments, run, "vidjax attention video.mp4 --model=MCG-NJU/videomae-base-finetuned-kinetics")
