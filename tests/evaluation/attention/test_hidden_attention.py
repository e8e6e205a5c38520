"""The hidden attention of VideoMamba's scans equals its matrix, written out token by token."""

import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.data.clips.recipe import ClipRecipe
from vidjax.evaluation.attention import attention_maps
from vidjax.evaluation.attention.hidden import Scan, merged_rows
from vidjax.models.videomamba import VideoMambaClassifier, VideoMambaSpec
from vidjax.weights import rules as rule_tables
from vidjax.weights.families.videomamba import rules

torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
import videomamba_torch  # noqa: E402 - needs torch

SPEC = VideoMambaSpec(12, 3, patch_size=4, num_frames=2, image_size=(8, 12), state_size=3)
TOKENS = 1 + SPEC.num_tokens


@pytest.mark.parametrize("reverse", [False, True])
def test_three_tokens_by_hand(reverse):
    """Steps of log 2 halve the single state of the single channel; every token writes and reads with weight 1."""
    ones = jnp.ones((3, 1))
    # softplus(0) = log 2
    scan = Scan(dt=0 * ones, dt_bias=jnp.zeros(1), A=-jnp.ones((1, 1)), B=ones, C=ones, reverse=reverse)
    alpha = math.log(2) * np.array([[1, 0, 0], [0.5, 1, 0], [0.25, 0.5, 1]])
    alpha = alpha.T if reverse else alpha
    for row in range(3):
        np.testing.assert_allclose(scan.rows(jnp.eye(3)[row]), alpha[row], rtol=1e-6)
    np.testing.assert_allclose(scan.sums(), alpha.sum(1), rtol=1e-6)


def test_both_directions_are_summed_or_averaged_like_in_the_model():
    ones = jnp.ones((3, 1))
    scans = {
        name: Scan(dt=0 * ones, dt_bias=jnp.zeros(1), A=-jnp.ones((1, 1)), B=ones, C=ones, reverse=reverse)
        for name, reverse in (("forward", False), ("backward", True))
    }
    of_first = math.log(2) * np.array([1 + 1, 0.5, 0.25])  # both directions see the first token
    np.testing.assert_allclose(merged_rows(scans, jnp.eye(3)[0], "sum"), of_first, rtol=1e-6)
    np.testing.assert_allclose(merged_rows(scans, jnp.eye(3)[0], "mean"), of_first / 2, rtol=1e-6)


def hidden_matrix(mixer, x, suffix, a_log):
    """Equation 11 of arXiv:2403.01590 for each channel (d l l), from the input tokens x (l d) of a direction."""
    module = mixer.get_submodule
    u = torch.nn.functional.silu(module(f"conv1d{suffix}")(x.T[None])[0, :, : len(x)].T)
    low, b, c = module(f"x_proj{suffix}")(u).split([mixer.rank, mixer.states, mixer.states], dim=-1)
    dt = torch.nn.functional.softplus(module(f"dt_proj{suffix}")(low))
    a, alpha = -torch.exp(mixer.get_parameter(a_log)), torch.zeros(x.shape[1], len(x), len(x)).double()
    for i in range(len(x)):
        for j in range(i + 1):
            decay = torch.exp(a * dt[j + 1 : i + 1].sum(0)[:, None])  # d s
            alpha[:, i, j] = (c[i] * decay * b[j]).sum(-1) * dt[j]
    return alpha, u


@pytest.fixture
def seen(monkeypatch):
    """A random model, a clip, and the matrices (d l l) of its layers, forward and backward in the order of tokens."""
    torch.manual_seed(0)
    model = videomamba_torch.VideoMamba(SPEC, 5).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = 0.3 * torch.randn_like(parameter)
            parameter.copy_(parameter + noise if name.endswith(("log", "D", "D_b")) else noise)
    direction, matrices = videomamba_torch.Mixer.direction, []

    def recorded(mixer, x, z, suffix, a_log):
        out = direction(mixer, x, z, suffix, a_log)
        alpha, u = hidden_matrix(mixer, x[0], suffix, a_log)
        y = torch.einsum("dij,jd->id", alpha, u) + mixer.get_parameter(f"D{suffix}") * u
        torch.testing.assert_close(
            y * torch.nn.functional.silu(z[0]), out[0]
        )  # the matrix computes the same as the scan
        matrices.append((alpha.flip(1, 2) if suffix else alpha).numpy())
        return out

    monkeypatch.setattr(videomamba_torch.Mixer, "direction", recorded)
    clip = np.random.default_rng(0).integers(0, 256, SPEC.clip_shape, dtype=np.uint8)
    with torch.no_grad():
        model(torch.from_numpy(clip.transpose(3, 0, 1, 2)[None] / 255))
    state = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
    return state, clip, matrices[::2], matrices[1::2]


def maps_of(state, clip):
    module, zeros = VideoMambaClassifier(SPEC, 5), jnp.zeros((1, *SPEC.clip_shape))
    shapes = jax.eval_shape(module.init, jax.random.key(0), zeros)["params"]
    params = rule_tables.read(rules(SPEC, 5), state, lambda: shapes)
    recipe = ClipRecipe(mean=(0.0,) * 3, std=(1.0,) * 3)
    model = types.SimpleNamespace(module=module, params=params, family="videomamba", source="", clip_recipe=recipe)
    return attention_maps(model, clip)


def close(ours, theirs):
    """Compare on the grid of cubes, without the class token."""
    theirs = np.stack(theirs)[..., 1:].reshape(ours.shape)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * np.abs(theirs).max())


def test_maps_are_means_over_channels_of_rows_of_the_matrices(seen):
    state, clip, forward, backward = seen
    found = maps_of(state, clip)
    assert found.layers["class"].shape == (3, 1, *SPEC.grid)
    close(found.layers["class"], [(f + b)[:, 0].mean(0) for f, b in zip(forward, backward, strict=True)])
    close(found.layers["forward"], [f.mean((0, 1)) for f in forward])
    close(found.layers["backward"], [b.mean((0, 1)) for b in backward])


def test_rollout_is_the_product_of_whole_matrices_with_rows_divided_by_their_sums(seen):
    state, clip, forward, backward = seen
    product = np.eye(TOKENS)
    for f, b in zip(forward, backward, strict=True):
        layer = np.eye(TOKENS) + (f + b).mean(0)
        product = layer / layer.sum(1, keepdims=True) @ product
    close(maps_of(state, clip).rollout, [np.maximum(product[0], 0)])
