"""The optimiser against PyTorch's, and its layer-wise decay."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.config import OptimConfig
from vidjax.errors import ConfigError
from vidjax.models.param_paths import split
from vidjax.objectives.supervised import BACKBONE
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.optim.layer_decay import layer_scales
from vidjax.training.optim.weight_decay import decay_mask

DEPTH = 3


def parameters(seed=0):
    rng = np.random.default_rng(seed)

    def leaf(*shape):
        return rng.normal(size=shape).astype(np.float32)

    blocks = {
        "attn": {"qkv": {"kernel": leaf(DEPTH, 4, 3, 2, 2), "q_bias": leaf(DEPTH, 2, 2)}},
        "norm1": {"scale": leaf(DEPTH, 4), "bias": leaf(DEPTH, 4)},
    }
    encoder = {"patch_embed": {"kernel": leaf(6, 4), "bias": leaf(4)}, "blocks": blocks, "norm": {"scale": leaf(4)}}
    return {"encoder": encoder, "mask_token": leaf(1, 1, 4), "head": {"kernel": leaf(4, 5), "bias": leaf(5)}}


def by_name(tree):
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}


def test_weight_decay_spares_biases_norms_and_tokens():
    decayed = {name for name, yes in by_name(decay_mask(parameters())).items() if yes}
    assert decayed == {"encoder/patch_embed/kernel", "encoder/blocks/attn/qkv/kernel", "head/kernel"}


def test_layer_decay_counts_from_the_head_down():
    scales = by_name(layer_scales(parameters(), 0.5))
    assert scales["encoder/patch_embed/kernel"] == 0.5**4  # id 0 of L + 1 = 4
    np.testing.assert_allclose(scales["encoder/blocks/norm1/scale"].ravel(), [0.5**3, 0.5**2, 0.5])
    assert scales["encoder/blocks/attn/qkv/kernel"].shape == (DEPTH, 1, 1, 1, 1)
    assert scales["head/kernel"] == scales["encoder/norm/scale"] == 1.0


def test_layer_decay_needs_an_encoder():
    with pytest.raises(ConfigError, match="needs a model with encoder/blocks"):
        layer_scales({"head": {"kernel": np.zeros((2, 2))}}, 0.5)


def test_a_head_on_a_frozen_backbone_learns_the_same_with_and_without_layer_decay():
    """A recipe with layer decay works with `model.freeze_backbone=True`, because the head's factor is 1."""
    (params, _), found = split(jax.tree.map(jnp.asarray, parameters()), BACKBONE), []
    gradients, _ = split(jax.tree.map(jnp.asarray, parameters(1)), BACKBONE)
    for layer_decay in (0.5, 1.0):
        config = OptimConfig(layer_decay=layer_decay)
        tx = build_optimizer(config, RunLength(4), global_batch=256, frozen=BACKBONE).tx
        direction, _ = tx.update(gradients, tx.init(params), params)
        found.append(direction)
    jax.tree.map(np.testing.assert_array_equal, *found)
    moved = {name for name, leaf in by_name(found[0]).items() if leaf.any()}
    assert moved == {"head/kernel", "head/bias"}


def ours(config, lr, steps):
    """Parameters after some steps on random gradients; the schedule is constant."""
    tx = build_optimizer(config, RunLength(steps), global_batch=256).tx
    params = jax.tree.map(jnp.asarray, parameters())
    state = tx.init(params)
    for step in range(steps):
        direction, state = tx.update(jax.tree.map(jnp.asarray, parameters(step + 1)), state, params)
        params = jax.tree.map(lambda p, d: p - lr * d, params, direction)
    return by_name(params)


def torchs(make, lr, steps, layer_decay, weight_decay, decayed="kernels"):
    """The same in PyTorch, with one parameter and one group per layer of each leaf, as in timm-style recipes."""
    torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
    tensors, groups = {}, []
    for name, leaf in by_name(parameters()).items():
        stacked = "blocks" in name
        for layer in range(DEPTH) if stacked else [None]:
            value = leaf[layer] if stacked else leaf
            number = layer + 1 if stacked else 0 if "patch_embed" in name else DEPTH + 1
            spared = decayed == "kernels" and (value.ndim <= 1 or name.endswith(("bias", "token")))
            tensors[name, layer] = torch.nn.Parameter(torch.tensor(np.array(value)))
            scale = layer_decay ** (DEPTH + 1 - number)
            groups.append(
                {"params": [tensors[name, layer]], "lr": lr * scale, "weight_decay": 0.0 if spared else weight_decay}
            )
    optimizer = make(torch, groups)
    for step in range(steps):
        gradients = by_name(parameters(step + 1))
        for (name, layer), tensor in tensors.items():
            tensor.grad = torch.tensor(np.array(gradients[name] if layer is None else gradients[name][layer]))
        optimizer.step()
    result = {}
    for (name, layer), tensor in tensors.items():
        value = tensor.detach().numpy()
        result[name] = value if layer is None else np.concatenate([result.get(name, value[None][:0]), value[None]])
    return result


def test_adamw_with_layer_decay_is_pytorchs_with_parameter_groups():
    config = OptimConfig(name="adamw", beta1=0.9, beta2=0.95, weight_decay=0.3, layer_decay=0.6)
    wanted = torchs(lambda t, g: t.optim.AdamW(g, betas=(0.9, 0.95), eps=1e-8), 0.1, 5, 0.6, 0.3)
    found = ours(config, 0.1, 5)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(("nesterov", "decayed"), [(False, "kernels"), (True, "kernels"), (True, "all")])
def test_sgd_is_pytorchs(nesterov, decayed):
    config = OptimConfig(name="sgd", momentum=0.9, nesterov=nesterov, weight_decay=0.1, decayed=decayed)
    wanted = torchs(lambda t, g: t.optim.SGD(g, momentum=0.9, nesterov=nesterov), 0.05, 5, 1.0, 0.1, decayed)
    found = ours(config, 0.05, 5)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_clipping_bounds_the_global_norm_of_the_gradient():
    config = OptimConfig(name="sgd", momentum=0.0, weight_decay=0.0, clip_norm=0.25)
    tx = build_optimizer(config, RunLength(1), global_batch=256).tx
    direction, _ = tx.update(parameters(1), tx.init(parameters()), parameters())
    norm = math.sqrt(sum(float(np.square(leaf).sum()) for leaf in jax.tree.leaves(direction)))
    assert math.isclose(norm, 0.25, rel_tol=1e-5)
