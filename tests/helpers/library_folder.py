"""The folder that examples in docstrings and docs/library.md expect: a trained model, a video, labelled videos."""

import pathlib

import jax
import numpy as np
from videos import encode, moving_texture

import vidjax
from vidjax.config import IMAGENET_MEAN, IMAGENET_STD
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.objectives import Classification
from vidjax.tasks import TASKS
from vidjax.training.convert import save_as_run
from vidjax.weights import Pretrained

CLASSES = ("day", "night")


def make_folder(folder: pathlib.Path) -> pathlib.Path:
    """Write runs/finetune, video.mp4 and videos/{train,val}/{day,night}, with bright and dark videos."""
    module = vidjax.build_model("videomae_tiny", num_classes=5)
    clip = jax.ShapeDtypeStruct((1, *module.spec.clip_shape), np.float32)
    params = module.init(jax.random.key(0), clip)["params"]
    model = Pretrained(
        module, params, module.spec, "videomae",
        clip_recipe=ClipRecipe(num_frames=8, stride=2, image_size=64),
        objective=Classification(module, IMAGENET_MEAN, IMAGENET_STD),
        answer=TASKS["classification"].answer, labels=tuple("abcde"),
    )  # fmt: skip
    save_as_run(model, folder / "runs" / "finetune")
    (folder / "video.mp4").write_bytes(encode(moving_texture(40)))
    for number in range(10):
        split, name = "train" if number < 8 else "val", CLASSES[number % 2]
        frames = moving_texture(20, 64, 80, seed=number)
        path = folder / "videos" / split / name / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(frames if name == "day" else frames // 4))
    return folder
