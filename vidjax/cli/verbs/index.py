"""`vidjax index`: index the moments of many videos, for `vidjax search`.

A window slides over each video, and the index keeps the model's vector for each window. Run the same command again to
resume, to add new videos and to drop those that are gone; nothing is computed twice. If videos cannot be decoded, the
reasons are reported, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import TYPE_CHECKING, Any

from vidjax.cli import clip_options, load_model, paths
from vidjax.cli.share import add_share, parse_share
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import EXIT_MISSING_VIDEOS, Verb
from vidjax.errors import ConfigError, printable
from vidjax.progress import progress
from vidjax.training.compile_cache import use_compile_cache

if TYPE_CHECKING:
    from vidjax.search.update import Updated
    from vidjax.weights import Pretrained

SHOWN = 5  # failures listed individually


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    about = f"{paths.VIDEOS_HELP}; name all videos that the index should have"
    add("videos", nargs="+", metavar="DIR", help=about)
    add("--model", required=True, metavar="SOURCE", help=f"{load_model.HELP}; or random:PRESET, to try it out")
    add("--out", required=True, metavar="INDEX", help="the folder of the index, which may be in a bucket")
    clip_options.add_windows(parser, "each window begins where the previous one ends")
    clip_options.add_stride(parser)
    about = "the vector of a window: embedding (comparable with texts), pooled, token_mean, token_max or cls (default: "
    about += "the first of these that the model has)"
    add("--feature", default="", metavar="NAME", help=about)
    add("--dtype", default="float16", choices=("float16", "float32"), help="type on disk; default float16")
    add("--batch", type=int, default=0, metavar="N", help="windows per step (8 per device; on a CPU: 2)")
    add_share(parser)
    add("--approximate", action="store_true", help="also write clusters, for `vidjax search --approximate`")
    add("--json", action="store_true", help="print the answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Bring the index up to date and print a summary; return 3 if a video could not be indexed."""
    if arguments.batch < 0:
        raise ConfigError(f"--batch={arguments.batch} must be at least 0")
    clip_options.check_windows(arguments)
    clip_options.check_stride(arguments)
    if not (arguments.every or arguments.window):
        raise ConfigError("give --every=SECONDS, from the start of one window to the next, such as --every=5")
    share = parse_share(arguments.share)
    videos = paths.find_videos(arguments.videos)
    paths.check_writable(arguments.out)
    from vidjax.search.update import Indexing, update_index
    from vidjax.training import distributed

    if share is None:
        distributed.initialize()
    import jax

    model = _load(arguments)
    words = [os.path.abspath(word) for word in arguments.videos]
    process = share or (jax.process_index(), jax.process_count())
    asked = Indexing(videos, words, arguments.feature, arguments.dtype, arguments.batch, process)
    with progress(f"indexing {len(videos)} videos", len(videos)) as advance:
        updated = update_index(arguments.out, model, asked, advance)
    if arguments.approximate and not updated.missing:
        _write_clusters(arguments.out)
    if arguments.json:
        print_json(_answer(arguments.out, updated))
    else:
        _say(arguments.out, updated)
    return EXIT_MISSING_VIDEOS if updated.failed else 0


def _load(arguments: argparse.Namespace) -> Pretrained:
    """Load the model and apply the options that change its windows."""
    from vidjax.weights.backbones import load_backbone
    from vidjax.weights.clip_recipes import RecipeChanges, change_recipe

    use_compile_cache()
    source = arguments.model
    source = os.path.abspath(source) if os.path.exists(source) else source
    with progress(f"reading {arguments.model}"):
        model = load_backbone(source)
    for note in model.notes:
        say(f"note: {note}")
    asked = RecipeChanges(stride=arguments.stride, every=arguments.every, window=arguments.window)
    return dataclasses.replace(model, clip_recipe=change_recipe(model.clips, asked))


def _write_clusters(folder: str) -> None:
    from vidjax.search.search_index import write_clusters

    with progress("clustering the windows for approximate search"):
        write_clusters(folder)


def _answer(folder: str, updated: Updated) -> dict[str, Any]:
    header = updated.header
    return {
        "folder": folder,
        "complete": not updated.missing,
        "videos": updated.videos,
        "windows": updated.windows,
        "added": updated.added,
        "moved": updated.moved,
        "dropped": updated.dropped,
        "missing_parts": updated.missing,
        "feature": header.feature,
        "width": header.width,
        "failures": [{"video": path, "reason": reason} for path, reason in updated.failed],
    }


def _say(folder: str, updated: Updated) -> None:
    """Print what failed and what changed to standard error, and what the index has to standard output."""
    for path, reason in updated.failed[:SHOWN]:
        why = "it changed while it was read; run the same command again" if reason == "changed" else reason
        say(f"{paths.shown(path)} is not in the index: {why}")
    if len(updated.failed) > SHOWN:
        say(f"... and {len(updated.failed) - SHOWN} more")
    counts = {"computed": updated.added, "moved": updated.moved, "dropped": updated.dropped}
    changes = [f"{count} {what}" for what, count in counts.items() if count]
    say(f"videos: {', '.join(changes)}" if changes else "nothing has changed since the last call")
    if updated.missing:
        say(f"{updated.missing} parts belong to other shares; their videos join the index when all parts exist")
    header = updated.header
    print(
        f"{printable(folder)}: {updated.windows} windows of {updated.videos} videos; {header.feature} "
        f"({header.width}) of {paths.shown(header.backbone['source'])}"
    )


VERB = Verb(
    __doc__, add_arguments, run, "vidjax index /data/videos --model=runs/finetune --every=5 --out=indexes/videos"
)
