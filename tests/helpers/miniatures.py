"""Shared by the tests of miniature data sets: official layouts, a first batch, two steps of the real training loop."""

import json
import pathlib
import runpy
import shutil

import cv2
import numpy as np

from vidjax import config as config_lib
from vidjax.config import DataConfig
from vidjax.data import motion_videos, train_batches
from vidjax.data.video.decode import read_frames
from vidjax.training import train

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SMALL = {"num_frames": 4, "stride": 1, "image_size": 32, "global_batch": 4, "crop": "center", "threads": 1}


def put(video, target):
    """Copy a video to a place in a layout."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(video, target)


def first(source, **changes):
    """The first training batch."""
    batches = train_batches(source, DataConfig(**(SMALL | changes)), seed=0)
    batch = next(batches)
    batches.close()
    return batch


def run(config_file, arg, root, workdir, **changes):
    """Train an experiment for two steps on a miniature, evaluate it, and return the results."""
    config = runpy.run_path(str(CONFIGS / config_file))["get_config"](arg)
    keys = {"data.root": str(root), "data.train_split": "train", "data.eval_split": "val", "data.global_batch": 16}
    keys |= {
        "train.steps": 2,
        "train.log_every": 1,
        "train.checkpoint_every": 2,
        "eval.batch": 8,
        "optim.warmup_steps": 1,
    }
    config.update_from_flattened_dict(keys | {"data.name": config_file.removesuffix(".py")} | changes)
    return train(config_lib.from_dict(config.to_dict()), workdir)


def write_afew(videos, root):
    """AFEW-VA with 8 clips of 6 to 13 frames by 4 actors; frame n has valence n - 5, clip n arousal n - 5."""
    for number in range(8):
        video = videos[f"train_{number:05d}"][0]
        folder = root / "01" / f"{number + 1:03d}"
        folder.mkdir(parents=True)
        frames = {}
        for place, picture in enumerate(read_frames(str(video), np.arange(6 + number))):
            cv2.imwrite(str(folder / f"{place:05d}.png"), picture[..., ::-1])
            frames[f"{place:05d}"] = {"landmarks": [[0, 0]] * 68, "valence": place - 5.0, "arousal": float(number - 4)}
        about = {"actor": f"actor {number // 2}", "video_id": folder.name, "frames": frames}
        (folder / f"{folder.name}.json").write_text(json.dumps(about))
    return root


def write_charades(videos, root):
    """Charades with 2 training videos, the first without actions, and one to test on, with intervals past its end."""
    folder = root / "Charades"
    folder.mkdir(parents=True)
    (folder / "Charades_v1_classes.txt").write_text(
        "".join(f"c{number:03d} Doing {name}\n" for number, name in enumerate(motion_videos.CLASSES))
    )
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    lines = {"train": [header], "test": [header]}
    for number in range(3):
        video, about = videos[f"long_{number:05d}"]
        name = f"AB{number:03d}"
        put(video, root / "Charades_v1_480" / f"{name}.mp4")
        parts = [(p["start"], p["end"], motion_videos.CLASSES.index(p["class"])) for p in about["intervals"]]
        parts[-1] = (parts[-1][0], 9.5, parts[-1][2])  # runs past the end at 8 s
        actions = ";".join(f"c{number:03d} {start:.2f} {end:.2f}" for start, end, number in parts)
        text = f'"{about["caption"]}, slowly.;Another one, of {name}"'
        split = "test" if number == 2 else "train"
        lines[split].append(f"{name},XYZ,Kitchen,6,7,Yes,A script.,cup,{text},{actions if number else ''},8.00")
    for split, rows in lines.items():
        (folder / f"Charades_v1_{split}.csv").write_text("\n".join(rows) + "\n")
    return root
