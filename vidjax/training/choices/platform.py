"""Choose by platform what a configuration leaves open: compute dtype, loops over layers and rematerialisation."""

from __future__ import annotations

from vidjax.config import Config, left_open, with_keys
from vidjax.models import family_of, preset

# Stacks of up to this many layers are unrolled. Deeper stacks are loops, because the compiler would take too long to
# unroll them. On a TPU, a loop copies everything that a layer keeps for its gradients, so the layers of a loop keep
# nothing, or only what costs more to recompute than to copy. docs/performance.md compares both.
SHORT = 4
# The same limit on a TPU, by family; other families take the compiler too long, or were not tried.
UNROLLED = {"videomae": 24, "timesformer": 12, "vivit": 12, "videomamba": 32}
SEVERAL = ("feature_prediction",)  # tasks whose step has several such stacks; unrolled, they take the compiler too long

# What a loop on a TPU may keep for gradients, by family, from the fastest to the one that takes the least memory:
# recomputing VideoMamba's scans, or attention over long clips, costs more than the copies.
IN_LOOPS = {
    "videomamba": ("scans", "full"),
    "timesformer": ("attention", "full"),
    "vivit": ("attention", "full"),
    "vjepa2": ("attention", "full"),
}


def choose_by_platform(config: Config, platform: str) -> Config:
    """Fill the keys that the configuration leaves open with values that suit a platform, such as "tpu"."""
    family, _ = family_of(config.model.name)
    spares_loop = platform == "tpu" and config.task not in SEVERAL
    suited = {
        "model.dtype": "float32" if platform == "cpu" else "bfloat16",
        "model.unroll": UNROLLED.get(family, SHORT) if spares_loop else SHORT,
    }
    config = with_keys(config, {key: suited[key] for key in left_open(config) if key in suited})
    choices = remat_choices(config, platform)
    if "model.remat" in left_open(config) and len(choices) == 1:
        return with_keys(config, {"model.remat": choices[0]})
    return config


def remat_choices(config: Config, platform: str) -> tuple[str, ...]:
    """The values of `model.remat` to try once `model.unroll` is known, the fastest first."""
    family, _ = family_of(config.model.name)
    if platform == "tpu" and encoder_depth(config) > config.model.unroll:
        return IN_LOOPS.get(family, ("full",))
    if platform == "tpu" and family == "videomamba":
        return "none", "dots", *IN_LOOPS[family]
    return "none", "dots", "full"


def encoder_depth(config: Config) -> int:
    """Number of layers of the model's encoder; 0 for a user's own family without a `depth`."""
    return config.model.spec.get("depth", getattr(preset(config.model.name), "depth", 0))


def tokens_of(config: Config) -> int:
    """Number of a clip's tokens, at least 1, before any are hidden."""
    spec, shape = config.model.spec, preset(config.model.name)
    tubelet, patch = (spec.get(key, getattr(shape, key)) for key in ("tubelet_size", "patch_size"))
    return max(1, config.data.num_frames // tubelet * (config.data.image_size // patch) ** 2)
