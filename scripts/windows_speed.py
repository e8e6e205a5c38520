"""Compare `vidjax embed --every --window` with one call per window: processor time, in alternating rounds.

One call per window opens the video, decodes the window's frames from the key frame before it, and runs the model on
that clip. Both are timed after the first round, which compiles.

    python scripts/windows_speed.py VIDEO --model random:videomae_tiny --every 0.5 --window 2
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import tempfile
import time

import jax
import numpy as np

from vidjax.config import DataConfig
from vidjax.data.clips.eval_views import protocol_views
from vidjax.data.sources.video_files import Files, FileSource
from vidjax.data.video.readers import open_video
from vidjax.data.window_clips import windows_in
from vidjax.evaluation.features.extraction import clip_features
from vidjax.evaluation.features.store import FeatureStore
from vidjax.evaluation.features.writer import Split, Storage, StoreWriter
from vidjax.weights.backbones import load_backbone
from vidjax.weights.clip_recipes import RecipeChanges, change_recipe


def main() -> None:
    """Time both ways and print a line per round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--model", default="random:videomae_tiny")
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--window", type=float)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    model = load_backbone(options.model)
    recipe = change_recipe(model.clips, RecipeChanges(every=options.every, window=options.window)).one_view()
    model = dataclasses.replace(model, clip_recipe=recipe)
    step = jax.jit(lambda params, clip: clip_features(model, params, clip)["pooled"])
    writer, ratios = None, []
    for number in range(options.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            writer = _writer(model, options, folder, writer)
            since = time.process_time()
            writer.write(writer.missing())
            ours = time.process_time() - since
            stored = FeatureStore.open(folder).array("pooled")
        since = time.process_time()
        single = _one_call_per_window(step, model.params, options.video, recipe)
        theirs = time.process_time() - since
        difference = np.abs(stored - single).max() / np.abs(single).max()
        if number:
            ratios.append(theirs / ours)
            print(
                f"{len(single)} windows: embed {ours:.2f} s, a call per window {theirs:.2f} s, {ratios[-1]:.2f} times "
                f"as long; largest difference {difference:.0e}"
            )
    print(f"median: {np.median(ratios):.2f} times as long")


def _writer(model, options: argparse.Namespace, folder: str, before: StoreWriter | None) -> StoreWriter:
    """Make a writer for a new folder; it reuses the compiled step of the previous writer."""
    root, name = pathlib.Path(options.video).parent, pathlib.Path(options.video).name
    source = FileSource("all", Files.of(str(root), [str(root / name)]))
    split = Split(source, DataConfig(root=str(root), threads=4), "all", windows=model.clip_recipe.windows)
    writer = StoreWriter(model, split, Storage(folder, ("pooled",), "float32"), options.batch)
    if before:
        writer._extractor = before._extractor
    return writer


def _one_call_per_window(step, params, video: str, recipe) -> np.ndarray:
    with open_video(video) as opened:
        windows = windows_in(opened, None, recipe)[0]
    return np.concatenate([np.asarray(step(params, protocol_views(video, recipe, window))) for window in windows])


if __name__ == "__main__":
    main()
