"""What the platform decides where a configuration leaves it open: the type to compute in, and loops over layers."""

from __future__ import annotations

from vidjax.config import Config, left_open, with_keys
from vidjax.models import family_of, preset

# Stacks of up to so many layers have no loop over them. A TPU's loop copies all that a layer keeps for its gradients,
# so a deeper stack, which has one to spare the compiler, keeps nothing, or what costs more than its copy.
# docs/performance.md compares them.
SHORT = 4
# On a TPU, by family; the layers of others take the compiler too long, or were not tried.
UNROLLED = {"videomae": 24, "timesformer": 12}
SEVERAL = ("self_distillation",)  # tasks whose step has several such stacks: there, too, the compiler would take long

# What a TPU's loop may keep for gradients, from fast to small, by family: VideoMamba's scans, and attention over long
# clips, cost more than the copies.
IN_LOOPS = {"videomamba": ("scans", "full"), "timesformer": ("attention", "full"), "vivit": ("attention", "full")}


def choose_by_platform(config: Config, platform: str) -> Config:
    """The configuration with what suits a platform, such as "tpu", in place of what it leaves open of this."""
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
    """The values of `model.remat` to try, from fast to small, once `model.unroll` is known."""
    if platform == "tpu" and encoder_depth(config) > config.model.unroll:
        return IN_LOOPS.get(family_of(config.model.name)[0], ("full",))
    return "none", "dots", "full"


def encoder_depth(config: Config) -> int:
    """Layers of the model's encoder; 0 where a family of one's own does not say."""
    return config.model.spec.get("depth", getattr(preset(config.model.name), "depth", 0))
