"""The optimiser against NumPy statements of the paper's rules and against PyTorch's optimisers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.config import OptimConfig
from vidjax.errors import ConfigError
from vidjax.training import optim

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


def test_the_learning_rate_scales_with_videos_not_clips():
    peak, floor = optim.scaled_lr(OptimConfig(base_lr=1.5e-4, min_lr=1e-5, reference_batch=256), 2048)
    assert math.isclose(peak, 1.2e-3)  # the paper's peak for a batch of 2048
    assert math.isclose(floor, 8e-5)


@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (1, 10), (4, 20), (10, 10)])
def test_schedule_is_linear_warm_up_from_zero_then_half_a_cosine(warmup, total):
    rising = np.linspace(0, 0.3, warmup)
    left = total - warmup
    falling = [0.01 + 0.5 * (0.3 - 0.01) * (1 + math.cos(math.pi * i / left)) for i in range(left)]
    schedule = jax.jit(optim.cosine_schedule(0.3, 0.01, warmup, total))
    np.testing.assert_allclose([schedule(i) for i in range(total)], [*rising, *falling], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("warmup", [0, 4])
def test_schedule_in_steps_falls_at_the_start_of_each_epoch_given(warmup):
    """Epochs of 2.5 steps: the one numbered 3 begins within step 7, the one numbered 4 with step 10."""
    config = OptimConfig(
        name="sgd", base_lr=0.2, reference_batch=64, schedule="steps", step_epochs=(3, 4), step_factors=(0.1, 0.01)
    )
    _, schedule = optim.build_optimizer(
        config, global_batch=32, total_steps=13, warmup_steps=warmup, steps_per_epoch=2.5
    )
    rising = np.linspace(0, 0.1, warmup)
    wanted = [*rising, *[0.1] * (8 - warmup), *[0.01] * 2, *[0.001] * 3]
    np.testing.assert_allclose([jax.jit(schedule)(i) for i in range(13)], wanted, rtol=1e-6)


@pytest.mark.parametrize(("epochs", "factors"), [((), ()), ((11, 14), (0.1,)), ((14, 11), (0.1, 0.01))])
def test_a_schedule_in_steps_that_contradicts_itself_is_refused(epochs, factors):
    config = OptimConfig(schedule="steps", step_epochs=epochs, step_factors=factors)
    with pytest.raises(ConfigError, match=r"such as \(11, 14\) and \(0.1, 0.01\)"):
        optim.build_optimizer(config, global_batch=8, total_steps=9, warmup_steps=0)


def test_schedule_stays_at_its_floor_after_the_end():
    assert math.isclose(optim.cosine_schedule(0.3, 0.01, 2, 10)(25), 0.01, rel_tol=1e-6)


def test_a_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(ConfigError, match="warm-up of 11 steps is longer than the run of 10"):
        optim.cosine_schedule(0.3, 0.01, 11, 10)


def test_warm_up_steps_win_over_epochs():
    assert optim.warmup_steps(OptimConfig(warmup_epochs=5), 117.2) == 586
    assert optim.warmup_steps(OptimConfig(warmup_epochs=5, warmup_steps=3), 117.2) == 3


def test_weight_decay_spares_biases_norms_and_tokens():
    decayed = {name for name, yes in by_name(optim.decay_mask(parameters())).items() if yes}
    assert decayed == {"encoder/patch_embed/kernel", "encoder/blocks/attn/qkv/kernel", "head/kernel"}


def test_layer_decay_counts_from_the_head_down():
    scales = by_name(optim.layer_scales(parameters(), 0.5))
    assert scales["encoder/patch_embed/kernel"] == 0.5**4  # id 0 of L + 1 = 4
    np.testing.assert_allclose(scales["encoder/blocks/norm1/scale"].ravel(), [0.5**3, 0.5**2, 0.5])
    assert scales["encoder/blocks/attn/qkv/kernel"].shape == (DEPTH, 1, 1, 1, 1)
    assert scales["head/kernel"] == scales["encoder/norm/scale"] == 1.0


def test_layer_decay_needs_an_encoder():
    with pytest.raises(ConfigError, match="needs a model with encoder/blocks"):
        optim.layer_scales({"head": {"kernel": np.zeros((2, 2))}}, 0.5)


def ours(config, lr, steps):
    """Parameters after some steps on random gradients; the schedule is constant."""
    tx, _ = optim.build_optimizer(config, global_batch=256, total_steps=steps, warmup_steps=0)
    params = jax.tree.map(jnp.asarray, parameters())
    state = tx.init(params)
    for step in range(steps):
        direction, state = tx.update(jax.tree.map(jnp.asarray, parameters(step + 1)), state, params)
        params = jax.tree.map(lambda p, d: p - lr * d, params, direction)
    return by_name(params)


def torchs(make, lr, steps, layer_decay, weight_decay, decayed="kernels"):
    """The same in PyTorch: one parameter and one group for each layer of each leaf, as timm-style recipes do."""
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
    tx, _ = optim.build_optimizer(config, global_batch=256, total_steps=1, warmup_steps=0)
    direction, _ = tx.update(parameters(1), tx.init(parameters()), parameters())
    norm = math.sqrt(sum(float(np.square(leaf).sum()) for leaf in jax.tree.leaves(direction)))
    assert math.isclose(norm, 0.25, rel_tol=1e-5)
