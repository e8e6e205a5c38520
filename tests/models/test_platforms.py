"""Which kernels a training step of each family has on each platform, lowered without the hardware."""

import jax
import jax.numpy as jnp
import pytest

from vidjax import build_model

KERNELS = {  # on a TPU, forward and backward
    "videomae_base": 2,
    "timesformer_base": 4,  # across frames and within them
    "vivit_base_fe": 2,
    # JAX's attention, which streams 8192 keys, and turning queries and keys; the pooler's blocks have the encoder's.
    "vjepa2_large": 3 + 4,
    "videomamba_small": 8,  # a convolution and a scan in two directions
}


@pytest.mark.parametrize("name", KERNELS)
def test_tpus_have_the_kernels_and_no_other_platform_does(name):
    module = build_model(name, num_classes=5)
    clips = jax.ShapeDtypeStruct((2, *module.spec.clip_shape), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), clips)
    step = jax.jit(jax.grad(lambda params, clips: module.apply(params, clips)["logits"].sum())).trace(params, clips)
    programs = {platform: step.lower(lowering_platforms=(platform,)).as_text() for platform in ("tpu", "cuda", "cpu")}
    found = {platform: text.count("tpu_custom_call") for platform, text in programs.items()}
    assert found == {"tpu": KERNELS[name], "cuda": 0, "cpu": 0}
