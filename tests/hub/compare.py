"""Read one checkpoint with vidjax and compare its outputs, in a separate process whose memory is measured.

    python tests/hub/compare.py TASK.json    prints one line of JSON

TASK.json has the `Checkpoint` and the paths of its file, and of the videos and the mask of the published numbers.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import resource
import sys
import time
from pathlib import Path

import jax
import numpy as np
from checkpoints import Checkpoint, Published
from PIL import Image

import vidjax
from vidjax import ops
from vidjax.errors import UserError
from vidjax.models.gpt2 import GPT2
from vidjax.weights.checkpoint_contents import read_contents
from vidjax.weights.checkpoint_layouts import recognise
from vidjax.weights.model import Pretrained

sys.path.append(str(Path(__file__).parents[1] / "helpers"))
PUBLISHED_TO = 2e-4  # published with four decimals, by another framework
REFERENCE_TO = 2e-4  # relative to the largest entry: float32 sums in another order
MASKED = 1408 / 1568  # share of masked tokens in pre-training
TOKENS = 20


def compare(task: dict) -> dict:
    """The comparisons of a checkpoint, and notes on it.

    Args:
      task: checkpoint, source, path, video and mask; the last two may be None.
    """
    checkpoint = _checkpoint(task["checkpoint"])
    path, source, video = Path(task["path"]), task["source"], task["video"] and np.load(task["video"])
    if checkpoint.layout == "CLIP, OpenAI":
        path = source = _extract(path)
    contents = read_contents(path)
    layout = recognise(contents.state.keys(), contents.config, contents.source).name
    if layout != checkpoint.layout:
        raise ValueError(f"it is read as {layout}, not as {checkpoint.layout}")
    model = vidjax.from_pretrained(source)
    rows = []
    if checkpoint.published:
        rows.append(_published(model, checkpoint.published, video, task["mask"]))
    rows.append(_reference(model, checkpoint.reference, path, video))
    return {"comparisons": rows, "notes": model.notes}


def _extract(archive: Path) -> Path:
    """Write the image tower of OpenAI's TorchScript archive to a file beside it, as a state dict that vidjax reads."""
    import torch

    path = archive.with_suffix(".pth")
    if not path.exists():
        state = torch.jit.load(archive, map_location="cpu").state_dict()
        torch.save({key: value.float() for key, value in state.items() if key.startswith("visual.")}, path)
    return path


def _checkpoint(values: dict) -> Checkpoint:
    published = values["published"] and Published(**values["published"])
    return Checkpoint(**values | {"published": published})


def _published(model: Pretrained, published: Published, video: np.ndarray | None, mask: str | None) -> dict:
    """The row of published numbers."""
    if published.output == "tokens":
        tokens = np.asarray(published.values)
        found = _language(model, tokens[None, :-1])[0].argmax(-1)[1:]
        return _row(f"tokens of {published.where}", float((found != tokens[2:]).sum()), 0.0)
    if video is None:
        return {"compared": published.where, "error": "the video of the published numbers is not here"}
    model = dataclasses.replace(model, clip_recipe=dataclasses.replace(model.clips, mean=(0.5,) * 3, std=(0.5,) * 3))
    clip = _clip_of(video[: model.spec.num_frames], published.resized or model.spec.frame_size[0], model)
    if published.output == "logits":
        found = np.asarray(model(clip)["logits"])[: len(published.values)]
        return _row(f"logits of {published.where}", np.abs(found - published.values).max(), PUBLISHED_TO)
    if mask is None:
        return {"compared": published.where, "error": "the mask of the published numbers is not here"}
    import torch

    hidden = torch.load(mask, weights_only=True).numpy().ravel()
    found = _reconstruction(model, clip, hidden)
    values = np.asarray(published.values)
    largest = np.abs(found[0, : values.shape[0], : values.shape[1]] - values).max()
    if published.loss:
        patches = ops.patchify(clip[None] / np.float32(255), model.spec.tubelet_size, model.spec.patch_size)
        target = ops.normalize_patches(ops.gather_tokens(patches, np.flatnonzero(hidden)[None]))
        largest = max(largest, abs(float(np.mean(np.square(found - target))) - published.loss))
    return _row(f"reconstruction of {published.where}", largest, PUBLISHED_TO)


def _reference(model: Pretrained, name: str, path: Path, video: np.ndarray | None) -> dict:
    """The row that compares all outputs with another implementation, or only their shapes if there is none."""
    hidden = None
    if isinstance(model.module, GPT2):
        clip = np.arange(TOKENS) * 7 % model.spec.vocab_size
        ours = {"logits": _language(model, clip[None])}
    else:
        clip = _any_clip(model, video)
        if "image ViT" in name:
            clip = np.repeat(clip[:1], len(clip), axis=0)
        if model.num_classes is None:
            hidden = np.random.default_rng(0).permutation(model.spec.num_tokens) < int(MASKED * model.spec.num_tokens)
            found = _of_masked(model, clip, hidden)
            ours = {name: np.asarray(found[name]) for name in ("reconstruction", "predicted") if name in found}
        else:
            ours = {key: value[None] for key, value in model(clip).items()}
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None or not name:
        finite = all(np.isfinite(np.asarray(value)).all() for value in ours.values())
        return {"compared": "shapes and finite outputs only", "largest": None, "limit": None, "passed": finite}
    import torch
    from references import REFERENCES, Subject

    with torch.inference_mode():
        theirs = REFERENCES[name](Subject(path, model, clip, hidden))
    largest, outputs = 0.0, []
    for output, array in theirs.items():
        array, found = array.numpy(), np.asarray(ours[output])
        if array.shape != found.shape:
            raise ValueError(f"{output} has shape {found.shape}, in PyTorch {array.shape}")
        largest = max(largest, np.abs(found - array).max() / np.abs(array).max())
        outputs.append(f"all {array.size} {output}")
    theirs = "transformers" in name or name in ("CLIP of OpenAI", "V-JEPA 2")
    by = "transformers" if theirs else "PyTorch on the authors' keys"
    return _row(f"{', '.join(outputs)} of {by}, relative", largest, REFERENCE_TO)


def _row(compared: str, largest: float, limit: float) -> dict:
    passed = bool(np.isfinite(largest) and largest <= limit)
    return {"compared": compared, "largest": float(largest), "limit": limit, "passed": passed}


def _language(model: Pretrained, tokens: np.ndarray) -> np.ndarray:
    apply = jax.jit(model.module.apply)
    return np.asarray(apply({"params": model.params}, tokens.astype(np.int32))["logits"])


def _reconstruction(model: Pretrained, clip: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.asarray(_of_masked(model, clip, hidden)["reconstruction"])


def _of_masked(model: Pretrained, clip: np.ndarray, hidden: np.ndarray) -> dict:
    """The outputs of a pre-training module that sees the cubes which are not hidden."""
    visible, masked = np.flatnonzero(~hidden)[None], np.flatnonzero(hidden)[None]
    pixels = (clip[None] / np.float32(255) - np.float32(model.mean)) / np.float32(model.std)
    return jax.jit(model.module.apply)({"params": model.params}, pixels, visible, masked)


def _clip_of(video: np.ndarray, short_side: int, model: Pretrained) -> np.ndarray:
    """The frames resized by Pillow, and their central crop."""
    (height, width), (rows, columns) = video.shape[1:3], model.spec.frame_size
    wide, high = (int(short_side * side / min(height, width)) for side in (width, height))
    frames = np.stack([np.asarray(Image.fromarray(frame).resize((wide, high), Image.BILINEAR)) for frame in video])
    top, left = (high - rows) // 2, (wide - columns) // 2
    return frames[:, top : top + rows, left : left + columns]


def _any_clip(model: Pretrained, video: np.ndarray | None) -> np.ndarray:
    """A clip of the model's size: from the video, repeating frames if there are too few, or noise without a video."""
    if video is None:
        return np.random.default_rng(0).integers(0, 256, model.spec.clip_shape, np.uint8)
    frames = video[np.arange(model.spec.num_frames) % len(video)]
    return _clip_of(frames, max(model.spec.frame_size), model)


def _peak_memory() -> int:
    """The peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Print the comparisons, or why there are none."""
    start = time.perf_counter()
    try:
        found = compare(json.loads(Path(sys.argv[1]).read_text()))
    except (UserError, ValueError, KeyError, RuntimeError, OSError) as error:
        found = {"error": str(error) or type(error).__name__}
    found |= {"seconds": time.perf_counter() - start, "memory": _peak_memory()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
