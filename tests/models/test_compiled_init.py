"""`model.init` draws the parameters that Flax draws, in one compiled call, without running the model."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

import vidjax
from vidjax.models.pooling import PooledClassifier


def clips_of(model):
    return jnp.zeros((1, *model.spec.clip_shape))


@pytest.mark.parametrize("family", ["videomae", "timesformer", "vivit", "videomamba"])
def test_parameters_match_flaxs_own_init(family):
    model = vidjax.build_model(f"{family}_tiny", num_classes=3)
    key, clips = jax.random.key(1), clips_of(model)
    flaxs = jax.jit(lambda key: nn.Module.init(model, key, clips))(key)
    jax.tree.map(np.testing.assert_array_equal, model.init(key, clips), flaxs)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(model.init)(key, clips), flaxs)


def test_inputs_may_be_positional_named_or_shapes():
    model = vidjax.build_model("videomae_tiny")
    key, index = jax.random.key(0), jnp.zeros((1, 64), jnp.int32)
    wanted = model.init(key, clips_of(model), index, index)
    shapes = jax.eval_shape(lambda: (clips_of(model), index))
    for found in (
        model.init(rngs={"params": key}, clips=clips_of(model), visible_idx=index, predicted_idx=index, train=False),
        model.init(key, shapes[0], shapes[1], shapes[1], False),
        model.init(key, clips_of(model), index, index, mutable=["params"]),
        model.lazy_init(key, shapes[0], index, index),
    ):
        jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-7), found, wanted)


def test_the_parts_of_a_module_are_initialised_as_in_flax():
    model = PooledClassifier(vidjax.build_model("videomae_tiny", num_classes=0), 3, "weighted_tokens", (8,))
    found = model.init(jax.random.key(0), clips_of(model))["params"]
    assert set(found) == {"encoder", "fc_norm", "token_weighting", "hidden_0", "classes"}
    encode = jax.eval_shape(
        lambda: model.backbone.init(
            jax.random.key(0), jnp.zeros((1, 256, 384)), method=lambda module, x: module.encoder(x)
        )
    )
    assert set(encode["params"]) == {"encoder"}


def test_init_does_not_run_the_model_and_compiles_once_for_equal_modules():
    """Attention over these 65536 tokens would take 68 GB."""

    def build():
        return vidjax.build_model("videomae_tiny", num_classes=3, num_frames=32, image_size=512)

    with compilations() as compiled:
        build().init(jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 512, 512, 3), jnp.float32))
    assert len([name for name in compiled if "_draw" in name]) == 1
    with compilations() as compiled:
        build().init(jax.random.key(1), jax.ShapeDtypeStruct((1, 32, 512, 512, 3), jnp.float32))
    assert compiled == []
