"""One of several processes that evaluate together: python evaluate_worker.py RANK COUNT PORT VIDEOS OUT."""

import pathlib
import sys

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from vidjax.config import Config, DataConfig, EvalConfig
from vidjax.data.open import open_source
from vidjax.evaluation.classification import ClassificationEvaluator


class Colour:
    """Classifies a clip by its brightest colour channel."""

    def scores(self, params, clips):
        return clips.astype(jnp.float32).mean((1, 2, 3)) * params


def evaluate(videos, out, mesh, process):
    data = DataConfig(root=videos, num_frames=2, stride=1, image_size=16, crop="center")
    config = Config(data=data, eval=EvalConfig(clips=2, crops=1))
    source = open_source(data, "val")
    evaluator = ClassificationEvaluator(config, Colour(), source, mesh, pathlib.Path(out), process)
    return evaluator(jnp.float32(1 / 32))


def make_mesh(devices=None):
    names = ("data", "fsdp", "tensor")
    count = len(devices or jax.devices())
    return jax.make_mesh((count, 1, 1), names, (AxisType.Auto,) * 3, devices=devices)


if __name__ == "__main__":
    rank, count, port, videos, out = sys.argv[1:]
    jax.distributed.initialize(f"localhost:{port}", int(count), int(rank))
    results = evaluate(videos, out, make_mesh(), (int(rank), int(count)))
    print(results["eval/top1"])
