"""`vidjax embed`: compute the features of a frozen model once, into a folder that probes read.

Each video gets one feature, of its central clip. With --every or --window it gets one per sliding window, with the
window's times; --npy also writes these as one array per video.

Run the same command again to resume; nothing is computed twice. If videos cannot be decoded, the folder records the
reasons, and the exit code is 3.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
from typing import TYPE_CHECKING, Any

from vidjax.cli import beam_options, clip_options, load_model, paths
from vidjax.cli.embed_job import EmbedJob
from vidjax.cli.share import add_share, parse_share
from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError, nearest_path
from vidjax.progress import progress
from vidjax.registry import is_outside, names_in

if TYPE_CHECKING:
    from vidjax.data.clips.recipe import ClipRecipe
    from vidjax.data.runners import Runner
    from vidjax.evaluation.features.header import Header
    from vidjax.evaluation.features.store import FeatureStore
    from vidjax.evaluation.features.writer import Written

SOME_FAILED = 3
SHOWN = 5  # failures listed individually
TASKS = ("classification", "regression")
_NAMES = tuple(name for name in names_in("vidjax.data.datasets") if name != "folder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add("--model", required=True, metavar="SOURCE", help=f"{load_model.HELP}; or random:PRESET, for comparison")
    about = "a folder or a list of videos, with or without classes; or videos, patterns such as 'clips/*.mp4', or "
    about += f"several folders and lists, without classes; or a data set: {', '.join(_NAMES)}"
    add("--data", required=True, nargs="+", metavar="VIDEOS", help=about)
    add("--root", default="", metavar="DIR", help="the folder of the named data set")
    about = "split of the data set; default train, or all videos of a folder without splits"
    add("--split", default="", help=about)
    add("--out", required=True, metavar="DIR", help="the folder of the features; a partial one is completed")
    about = "comma-separated: tokens, token_mean, token_max, width_mean, cls, pooled, embedding (all except tokens)"
    add("--features", default="", metavar="NAMES", help=about)
    about = "the annotation that probes need: a class, or regression targets (default: a class if the rows have one)"
    add("--task", default="", choices=TASKS, help=about)
    clip_options.add_stride(parser)
    clip_options.add_windows(parser, "default: one feature per video, unless --window is given")
    add(
        "--npy",
        default="",
        metavar="DIR",
        help="also write the features of each video's windows as NAME.npy, and their times as NAME.json",
    )
    add("--num-frames", type=int, metavar="N", help="frames per clip (the model's)")
    add("--image-size", type=int, metavar="N", help="side of the frames, in pixels (the model's)")
    add("--dtype", default="float16", choices=("float16", "float32"), help="type on disk; default float16")
    add(
        "--batch",
        type=int,
        default=0,
        metavar="N",
        help="videos or windows per step (8 per device; windows on a CPU: 2)",
    )
    add("--workers", type=int, default=0, metavar="N", help="loader processes; 0 (default) uses threads")
    add_share(parser)
    add("--runner", default="", metavar="NAME", help=f"{beam_options.RUNNERS}; default: this process")
    beam_options.add(parser)
    add("--json", action="store_true", help="print the answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write the missing features and print a summary; return 3 if a video has no features."""
    for name in ("num_frames", "image_size"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')}={value} must be at least 1")
    for name in ("batch", "workers"):
        if (value := getattr(arguments, name)) < 0:
            raise ConfigError(f"--{name}={value} must be at least 0")
    words = _of_no_data_set(arguments)
    name, root = ("folder", os.curdir) if words else _data(arguments.data[0], arguments.root)
    share, runner = parse_share(arguments.share), _runner(arguments)
    paths.check_writable(arguments.out)
    clip_options.check_stride(arguments)
    clip_options.check_windows(arguments)
    names = tuple(word.strip() for word in arguments.features.split(",") if word.strip())
    _check_window_options(arguments, names)
    from vidjax.evaluation.features.cluster import write_on_cluster
    from vidjax.evaluation.features.npy_files import write_npy_files
    from vidjax.evaluation.features.store import FeatureStore
    from vidjax.evaluation.features.writer import Storage, StoreWriter, write_features
    from vidjax.training import distributed

    if share is None and runner is None:
        distributed.initialize()
    job, storage = EmbedJob.of(arguments, name, root, words), Storage(arguments.out, names, arguments.dtype)
    if runner:
        job = job.for_other_machines()
        storage = dataclasses.replace(storage, folder=beam_options.same_everywhere(arguments.out))
    backbone, split = job()
    with progress(f"embedding {len(split.source)} rows", len(split.source)) as advance:
        if runner:
            written = write_on_cluster(runner, job, StoreWriter(backbone, split, storage, arguments.batch), advance)
        else:
            written = write_features(backbone, split, storage, batch=arguments.batch, process=share, on_row=advance)
    store = FeatureStore.open(arguments.out) if split.windows and not written.missing else None
    files = write_npy_files(arguments.npy, store, _of_npy(names, store.header)) if store and arguments.npy else []
    if arguments.json:
        print_json(_answer(arguments.out, written, store) | ({"npy": files} if arguments.npy else {}))
    else:
        _say(written, backbone.clips, store)
        print(_how_to_read(arguments.out, written, store))
        if arguments.npy:
            print(_about_npy(arguments.npy, files, written))
    return SOME_FAILED if written.failed else 0


def _check_window_options(arguments: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Refuse options that windows exclude, and --npy without windows."""
    if arguments.every or arguments.window:
        if arguments.workers:
            raise ConfigError(f"--workers={arguments.workers}: windows are decoded by threads; leave --workers out")
    elif arguments.npy:
        raise ConfigError(f"--npy={arguments.npy} writes features of windows; add --every or --window")
    if not arguments.npy:
        return
    if names and names[0] == "tokens":
        raise ConfigError("--npy writes one vector per window, not tokens; put another of --features first")
    if beam_options.same_everywhere(arguments.npy) == beam_options.same_everywhere(arguments.out):
        raise ConfigError(f"--npy={arguments.npy} is also --out; name two folders")
    paths.check_writable(arguments.npy)


def _of_npy(names: tuple[str, ...], header: Header) -> str:
    """Return the feature that --npy writes: the first of --features, by default the input of a classifier's head."""
    return names[0] if names else "pooled" if "pooled" in header.arrays else next(iter(header.arrays))


def _of_no_data_set(arguments: argparse.Namespace) -> list[str]:
    """Return the words of --data that name videos, as for `vidjax predict`; empty for one folder, list or data set."""
    words = arguments.data
    if len(words) == 1 and (os.path.isdir(words[0]) or paths.is_list(words[0]) or not paths.means_videos(words[0])):
        return []
    for option in ("root", "split", "task"):
        if getattr(arguments, option):
            raise ConfigError(f"--{option} is for a data set, but --data names videos; leave --{option} out")
    return words


def _data(word: str, root: str) -> tuple[str, str]:
    """Return the name and root of the data set."""
    near = difflib.get_close_matches(word, _NAMES, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"the names: {', '.join(_NAMES)}"
    if word in _NAMES or (is_outside(word) and not os.path.isdir(word)):
        from vidjax.data.datasets import DATASETS

        if not root and DATASETS.find(word).needs_root:
            raise ConfigError(f"--data={word} needs --root=DIR, the folder of the data set")
        return word, root
    if root:
        raise ConfigError(f"--root is for a named data set, and --data={word} is not one; {hint}")
    if not os.path.exists(word):
        if path := nearest_path(word):
            hint = f"did you mean {path}?"
        raise ConfigError(f"--data={word} is neither a folder nor the name of a data set; {hint}")
    return "folder", word


def _runner(arguments: argparse.Namespace) -> Runner | None:
    """Return the requested cluster, if any."""
    from vidjax.data.runners import Runner

    if not arguments.runner:
        if arguments.beam_option:
            raise ConfigError(f"--beam-option={arguments.beam_option[0]} is for a runner; name it as --runner=NAME")
        return None
    if arguments.share:
        raise ConfigError("--share divides the work by hand, --runner automatically; leave one out")
    runner = Runner(arguments.runner, beam_options.flags(arguments))
    if runner.here:
        raise ConfigError(f"--runner={runner.name} runs in this process, as embed does without it; leave it out")
    return runner


def _answer(folder: str, written: Written, store: FeatureStore | None) -> dict[str, Any]:
    header = written.header
    answer = {
        "folder": folder,
        "complete": not written.missing,
        "rows": header.num_rows,
        "computed": written.computed,
        "parts": header.num_parts,
        "missing_parts": written.missing,
        "arrays": {name: list(shape) for name, shape in header.arrays.items()},
        "failures": [{"id": name, "reason": reason} for name, reason in written.failed],
    }
    if not header.windows:
        return answer
    short = [{"id": name, "seconds": round(seconds, 3)} for name, seconds in written.short]
    windows = header.windows | {"count": _count(store), "shorter_videos": short}
    return answer | {"windows": windows}


def _count(store: FeatureStore | None) -> int | None:
    """Return the number of windows in a complete store."""
    return len(store.windows.times) if store and store.windows is not None else None


def _how_to_read(folder: str, written: Written, store: FeatureStore | None) -> str:
    """Describe the folder and the ways to use it; return only its name while shares are missing."""
    header = written.header
    if written.missing:
        return folder
    (name, shape), *_ = header.arrays.items()
    unit = "videos" if header.data["annotation"] in ("", "label") else "rows"
    opened = f"vidjax.evaluation.features.store.FeatureStore.open({folder!r})"
    if store:
        return (
            f"{folder}: features of {_count(store)} windows of {header.num_rows} {unit}; {name} has the shape "
            f"{(_count(store), *shape)}\n"
            f"read them with store = {opened}: store.array({name!r}, [0]) and store.times(0) are of the first row"
        )
    return (
        f"{folder}: features of {header.num_rows} {unit}; {name} has the shape {(header.num_rows, *shape)}\n"
        f"read them with {opened}.array({name!r}), or probe them: "
        f"vidjax probe --train {folder} --test ANOTHER --out DIR"
    )


def _about_npy(folder: str, files: list[str], written: Written) -> str:
    """Describe the arrays of --npy, or say why there are none."""
    if written.missing:
        return f"{folder}: the share that completes the store writes the arrays"
    if not files:
        return f"{folder}: no arrays, since no video has features"
    return f"{folder}: {len(files)} arrays, such as {files[0]}.npy with its times in {files[0]}.json"


def _say(written: Written, recipe: ClipRecipe, store: FeatureStore | None) -> None:
    header, failures = written.header, written.failed
    for name, reason in failures[:SHOWN]:
        say(f"{name} has no features: {reason}")
    if len(failures) > SHOWN:
        say(f"... and {len(failures) - SHOWN} more")
    if not (written.computed or written.missing):
        say("all features already existed; nothing was computed")
    elif not written.missing and written.computed < header.num_rows:
        say(f"{header.num_rows - written.computed} rows already existed; {written.computed} were computed")
    if written.short:
        name, seconds = written.short[0]
        window = f"a window of {recipe.windows.length:g} s" if recipe.windows and recipe.windows.length else "a window"
        say(
            f"note: {len(written.short)} of {header.num_rows} videos are shorter than {window}, the first of them "
            f"{name} ({seconds:.3g} s); each has one window, the whole video"
        )
    there = header.num_parts - len(written.missing)
    counted = f"{header.num_rows - len(failures)} of {header.num_rows} rows have"
    if written.missing:
        counted = f"{there} of {header.num_parts} parts exist, the rest belong to other shares; rows have"
    elif store:
        counted = f"{counted} {_count(store)} windows in all, with"
    shapes = ", ".join(f"{name} ({' x '.join(map(str, shape))})" for name, shape in header.arrays.items())
    every = f"; one window every {header.windows['every']:g} s, each" if header.windows else ","
    say(f"{counted} {shapes}, {header.dtype}{every} of {recipe.words}")


VERB = Verb(
    __doc__,
    add_arguments,
    run,
    "vidjax embed --model=runs/pretrain --data=/data/videos --split=train --out=features/train",
)
