"""`vidjax attention`: show where a model looks in videos: roll-out and maps of a layer, as PNG, GIF and MP4.

Of a model that attends over time and in space by turns, both; of a VideoMamba the hidden attention of its scans. The
clip in the middle of each video is taken. A video of several that cannot be decoded is reported with the reason; the
others are shown, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError, VideoError
from vidjax.progress import progress

if TYPE_CHECKING:
    import numpy as np

    from vidjax.evaluation.attention import AttentionMaps

EXIT_MISSING_VIDEOS = 3
_OUT = "attention"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEO", help=f"{paths.VIDEOS_HELP}; the clip in the middle of each is taken")
    add("--model", required=True, metavar="SOURCE", help=load_model.HELP)
    about = "folder of attention.png, .gif, .mp4 and the numbers, .npz; with several videos, of a folder for each "
    add("--out", default="", metavar="DIR", help=f"{about}({_OUT}/NAME)")
    add("--layer", type=int, metavar="N", help="from 1 (the last)")
    add("--head", type=int, metavar="N", help="from 1 (the mean of all)")
    clip_options.add_stride(parser)
    add("--json", action="store_true", help="print [{video, png, gif, mp4, npz}]")


def run(arguments: argparse.Namespace) -> int:
    """Draw the pictures and say what they show."""
    from vidjax.data.clips.eval_views import window_views
    from vidjax.data.video.readers import open_video
    from vidjax.evaluation.attention import attention_maps, map_sizes
    from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

    clip_options.check_stride(arguments)
    videos = paths.find_videos(arguments.videos)
    folders = paths.folders_of(videos, arguments.out, _OUT)
    for folder in folders:
        paths.check_writable(folder)
    model = load_model.load(arguments.model)
    recipe = change_recipe(model.clips, RecipeChanges(stride=arguments.stride)).one_view()
    _check(map_sizes(model), arguments.layer, arguments.head)
    drawn, failed = [], []
    with progress("drawing", len(videos)) as advance:
        for name, folder in zip(videos, folders, strict=True):
            try:
                with open_video(name) as video:
                    clip_options.note_if_short(name, video, recipe)
                    [[clip]] = window_views(video, recipe, [None])
                maps = attention_maps(model, clip)
                shown = _chosen(maps, arguments.layer, arguments.head)
                rgb = clip[..., ::-1] if recipe.channels == "bgr" else clip
                drawn.append({"video": name} | _draw(maps, shown, rgb, folder))
            except VideoError as error:
                if len(videos) == 1:
                    raise
                failed.append(f"{name} is not shown: {error}")
            advance()
    for sentence in failed:
        say(f"vidjax: {sentence}")
    if drawn:
        say(f"{recipe.words}; {', '.join(shown)}")
    if arguments.json:
        print_json(drawn)
    else:
        print(*(files[kind] for files in drawn for kind in ("png", "gif", "mp4", "npz")), sep="\n")
    return EXIT_MISSING_VIDEOS if failed else 0


def _check(sizes: dict[str, tuple[int, int]], layer: int | None, head: int | None) -> None:
    """Refuse a layer or a head that no kind of maps has."""
    for what, asked, sizes_of in (("layer", layer, 0), ("head", head, 1)):
        most = max(size[sizes_of] for size in sizes.values())
        if asked is not None and not 1 <= asked <= most:
            raise ConfigError(f"--{what}={asked}: the maps of this model have {what}s 1 to {most}")


def _chosen(maps: AttentionMaps, layer: int | None, head: int | None) -> dict[str, np.ndarray]:
    """The roll-out, and of each kind that has them the layer and head, by what they are called."""
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
    """Write the files; returns their paths by kind."""
    import io

    import numpy as np

    from vidjax.files import located, write_whole
    from vidjax.viz.attention import draw_maps

    files = draw_maps(clip, shown, folder)
    numbers, npz = io.BytesIO(), located(folder) / "attention.npz"
    np.savez_compressed(numbers, allow_pickle=False, rollout=maps.rollout, **maps.layers)
    write_whole(npz, numbers.getvalue())
    return {**files.named, "npz": os.fspath(npz)}


VERB = Verb(__doc__, add_arguments, run, "vidjax attention video.mp4 --model=MCG-NJU/videomae-base-finetuned-kinetics")
