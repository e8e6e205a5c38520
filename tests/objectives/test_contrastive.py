"""Losses over all pairs of the global batch: against NumPy and PyTorch, in micro-batches, and over several devices."""

import dataclasses
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.config import LoraConfig, MeshConfig
from vidjax.models.param_paths import flatten
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.models.video_text import build_video_text
from vidjax.objectives.contrastive import LOSSES, Contrastive, at_most
from vidjax.training import mesh as mesh_lib
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.state import init_state, state_shapes
from vidjax.training.step import make_train_step

torch = pytest.importorskip("torch")
ROWS, WORDS, WIDTH = 16, 5, 6
SPEC = TimeSformerSpec(8, 1, 1, 8, patch_size=2, tubelet_size=2, num_frames=2, image_size=2)


@dataclasses.dataclass(frozen=True)
class TextSpec:
    context: int = WORDS
    macs: int = 1


@dataclasses.dataclass(frozen=True)
class Spec:
    video: TimeSformerSpec = SPEC
    text: TextSpec = TextSpec()


class Towers(nn.Module):
    """Linear towers of two numbers per clip and word, with dropout in training; the interface of a `VideoTextModel`."""

    spec: Spec = Spec()
    dropout: float = 0.0

    def setup(self):
        self.video, self.text = nn.Dense(WIDTH), nn.Embed(20, WIDTH)
        self.drop = nn.Dropout(self.dropout)
        self.logit_scale = self.param("logit_scale", nn.initializers.zeros, ())
        self.logit_bias = self.param("logit_bias", nn.initializers.zeros, ())

    def __call__(self, clips, tokens):
        return self.encode_video(clips), self.encode_text(tokens)

    def encode_video(self, clips, train=False):
        return self._unit(self.video(self.drop(clips.reshape(len(clips), -1), deterministic=not train)))

    def encode_text(self, tokens, train=False):
        return self._unit(self.text(tokens).sum(axis=1))

    def _unit(self, x):
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture(autouse=True)
def linear_towers(monkeypatch):
    monkeypatch.setattr("vidjax.objectives.contrastive.VideoTextModel", Towers)


def objective_of(loss="sigmoid", same="positive", **options):
    return Contrastive(Towers(**options), (0.5,) * 3, (0.25,) * 3, loss, same)


def initial(objective):
    return jax.jit(lambda: objective.init(jax.random.key(0), {})[0])()


def batch_of(seed=0, rows=ROWS):
    """Random clips and captions; rows 3 and 9 have the same caption, and row 5 is padding."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 20, (rows, WORDS)).astype(np.int32)
    tokens[9] = tokens[3]
    video = rng.integers(0, 256, (rows, 2, 2, 2, 3), dtype=np.uint8)
    return {"video": video, "tokens": tokens, "valid": np.arange(rows) != 5}


def loss_in_torch(params, batch, kind, same):
    """The loss as the papers write it, over the valid rows, with its gradients; nothing of the objective's code."""
    leaves = {
        name: torch.tensor(np.array(leaf, np.float64), requires_grad=True) for name, leaf in flatten(params).items()
    }
    rows = np.flatnonzero(batch["valid"])
    pixels = torch.tensor((batch["video"][rows] / 255 - 0.5) / 0.25).reshape(len(rows), -1)
    video = torch.nn.functional.normalize(pixels @ leaves["video/kernel"] + leaves["video/bias"])
    text = torch.nn.functional.normalize(leaves["text/embedding"][torch.tensor(batch["tokens"][rows]).long()].sum(1))
    logits = video @ text.T * leaves["logit_scale"].exp()
    equal = (batch["tokens"][rows][:, None] == batch["tokens"][rows][None]).all(-1)
    positive = torch.tensor(equal if same == "positive" else np.eye(len(rows), dtype=bool))
    if kind == "sigmoid":
        signs = torch.where(positive, 1.0, -1.0)
        loss = -torch.nn.functional.logsigmoid(signs * (logits + leaves["logit_bias"])).sum() / len(rows)
    else:
        target = positive.double()
        one = torch.nn.functional.cross_entropy(logits, target / target.sum(1, keepdim=True))
        two = torch.nn.functional.cross_entropy(logits.T, target.T / target.T.sum(1, keepdim=True))
        loss = (one + two) / 2
    loss.backward()
    return loss.item(), {name: 0 if leaf.grad is None else leaf.grad.numpy() for name, leaf in leaves.items()}


def step_of(objective, axes, accumulate, batch):
    """Loss, and parameters before and after one step of plain gradient descent with the learning rate 0.5."""
    devices = jax.devices()[: int(np.prod(list(axes.values()) or [1]))]
    mesh = mesh_lib.make_mesh(MeshConfig(**axes), devices)
    keys = {"optim.name": "sgd", "optim.base_lr": 0.5, "optim.min_lr": 0.5, "optim.reference_batch": ROWS}
    keys |= {"optim.weight_decay": 0.0, "optim.momentum": 0.0, "data.num_frames": 2, "data.image_size": 2}
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {"mesh.fsdp_min_size": 1, "data.global_batch": ROWS})
    config = config_lib.from_dict(config.to_dict())
    optimizer = build_optimizer(config.optim, RunLength(10), global_batch=ROWS)
    with jax.set_mesh(mesh):
        shapes = state_shapes(config, objective, optimizer.tx, mesh)
        state = jax.jit(
            lambda: init_state(objective, optimizer.tx, config.data, 0.0, 0),
            out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes),
        )()
        before = jax.tree.map(np.asarray, state.params)
        step = make_train_step(objective, optimizer, seed=0, accumulate=accumulate, shapes=shapes)
        fed = mesh_lib.global_batch(batch, mesh_lib.batch_sharding(mesh))
        state, metrics = step(state, fed)
    return float(metrics["train/loss"]), flatten(before), flatten(jax.tree.map(np.asarray, state.params))


@pytest.mark.parametrize(
    ("loss", "same", "axes", "accumulate"),
    [
        ("sigmoid", "positive", {}, 1),
        ("sigmoid", "negative", {"data": 2, "fsdp": 2}, 2),
        ("softmax", "positive", {"data": 4}, 4),
        ("softmax", "negative", {}, 4),
    ],
)
def test_a_step_has_the_loss_and_gradients_of_the_whole_batch_for_any_mesh_and_micro_batches(
    loss, same, axes, accumulate
):
    batch = batch_of()
    found, before, after = step_of(objective_of(loss, same), axes, accumulate, batch)
    expected, grads = loss_in_torch(before, batch, loss, same)
    assert found == pytest.approx(expected, rel=1e-5)
    for name, grad in grads.items():
        moved = (before[name] - after[name]) / 0.5
        np.testing.assert_allclose(moved, grad, atol=2e-6 * max(1.0, np.abs(grad).max()), err_msg=name)


def test_padding_rows_are_no_negatives_and_no_queries():
    objective, batch = objective_of("softmax"), batch_of()
    params = initial(objective)
    loss_of = jax.jit(lambda params, batch: objective.loss(params, {}, batch, {}, False))
    loss, (metrics, _) = loss_of(params, batch)
    other = batch | {"video": np.where(batch["valid"][:, None, None, None, None], batch["video"], 255)}
    other["tokens"] = np.where(batch["valid"][:, None], batch["tokens"], 7)
    assert loss_of(params, other)[0] == pytest.approx(float(loss), rel=1e-6)
    kept = {name: leaf[batch["valid"]] for name, leaf in batch.items()}
    assert loss_of(params, kept)[0] == pytest.approx(float(loss), rel=1e-6)
    assert 0 <= metrics["batch_r1"] <= 1
    empty = batch | {"valid": np.zeros(ROWS, bool)}
    for kind in LOSSES:
        loss_of = jax.value_and_grad(lambda p, kind=kind: objective_of(kind).loss(p, {}, empty, {}, False)[0])
        value, grads = jax.jit(loss_of)(params)
        assert value == 0
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_temperature_and_bias_start_as_published_and_clips_scale_stops_at_100():
    for loss, scale, bias in (("sigmoid", 10.0, -10.0), ("softmax", 1 / 0.07, 0.0)):
        params = initial(objective_of(loss))
        assert float(jnp.exp(params["logit_scale"])) == pytest.approx(scale)
        assert float(params["logit_bias"]) == bias
    objective, batch = objective_of("softmax"), batch_of()
    params = initial(objective)
    _, (metrics, _) = objective.loss(params | {"logit_scale": jnp.float32(9.0)}, {}, batch, {}, False)
    assert float(metrics["scale"]) == pytest.approx(100.0)
    slope = jax.grad(lambda value, sign: sign * at_most(value, 2.0))
    assert [float(slope(value, 1.0)) for value in (1.0, 3.0)] == [1.0, 1.0]  # descent lowers the value
    assert [float(slope(value, -1.0)) for value in (1.0, 3.0)] == [-1.0, 0.0]  # descent would raise it above the limit


def test_both_passes_over_micro_batches_use_the_same_dropout():
    """If they differed, the gradient would not be that of the reported loss."""
    batch, objective = batch_of(), objective_of(dropout=0.5)
    loss, before, after = step_of(objective, {}, 4, batch)

    def by_hand(params):
        key, parts = jax.random.fold_in(jax.random.key(0), 0), []
        for number in range(4):
            rngs = {"dropout": jax.random.fold_in(jax.random.fold_in(key, 1), number)}
            own = np.array([row for row in range(ROWS) if min(row, ROWS - 1 - row) % 4 == number])
            parts.append(objective.statistics(params, {k: v[own] for k, v in batch.items()}, rngs, True))
        return objective.loss_from(jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts))[0]

    params = {"video": {}, "text": {}}
    for name, leaf in before.items():
        *inside, last = name.split("/")
        (params[inside[0]] if inside else params)[last] = leaf
    expected, grads = jax.value_and_grad(by_hand)(params)
    assert loss == pytest.approx(float(expected), rel=1e-6)
    moved = (before["video/kernel"] - after["video/kernel"]) / 0.5
    np.testing.assert_allclose(moved, grads["video"]["kernel"], atol=1e-6)


def test_devices_exchange_embeddings_and_gradients_but_no_clips():
    """A clip has 24 values here and an embedding 6; the whole batch of either is sent only as embeddings."""
    objective = objective_of()
    mesh = mesh_lib.make_mesh(MeshConfig(data=4), jax.devices()[:4])
    params, _ = objective.init(jax.random.key(0), {})
    with jax.set_mesh(mesh):
        batch = mesh_lib.global_batch(batch_of(), mesh_lib.batch_sharding(mesh))
        grad = jax.jit(jax.grad(lambda p, b: objective.loss(p, {}, b, {}, False)[0]))
        text = grad.lower(jax.device_put(params, mesh_lib.replicated(mesh)), batch).compile().as_text()
    gathered = [
        int(np.prod([int(size) for size in shape.split(",") if size]))
        for shape in re.findall(r"= \w+\[([\d,]*)\]\S* all-gather", text)
    ]
    assert gathered
    assert max(gathered) <= ROWS * (WIDTH + 3)  # with two hashes of the caption, and whether the row is valid


def test_towers_are_frozen_or_adapted_apart_and_projections_always_learn():
    whole = objective_of()
    assert whole.frozen == ""
    frozen = dataclasses.replace(whole, freeze_backbone=True, train_text="none")
    names = ("video/encoder/x", "text/x", "video_projection/kernel", "text_projection/kernel", "logit_scale", "lora/A")
    assert [bool(re.search(frozen.frozen, name)) for name in names] == [True, True, False, False, False, False]
    only_video = dataclasses.replace(whole, lora=LoraConfig(rank=2), train_text="none")
    [pattern] = only_video.lora.targets
    found = [
        name
        for name in ("video/blocks/attn/query", "text/blocks/attn/query", "video/blocks/mlp/fc1")
        if re.search(pattern, name)
    ]
    assert found == ["video/blocks/attn/query"]
    both = dataclasses.replace(whole, lora=LoraConfig(rank=2), train_text="lora")
    assert both.lora.targets == ()
    assert re.search(both.frozen, "text/blocks/attn/query")


@pytest.mark.parametrize(("name", "text"), [("videomae_tiny", "clip_tiny"), ("videoprism_tiny", "videoprism_tiny")])
def test_flops_count_what_follows_the_towers_as_trained_even_after_frozen_towers(name, text):
    sizes = {"projection": 16, "width": 16, "num_heads": 2, "text_options": {"width": 16, "num_heads": 2}}
    module = build_video_text(name, text=text, **sizes)
    video, words, after = module.spec.video, module.spec.text.macs, 2 * 16 * 16
    if name == "videoprism_tiny":
        tokens, inner = video.num_tokens, video.mlp_dim
        blocks = 2 * (tokens * (4 * 16**2 + 2 * 16 * inner) + 2 * tokens**2 * 16)
        pooler = 2 * tokens * 16 * inner + 2 * tokens * inner + 2 * 16 * inner  # keys, values; attention; ends
        after = blocks + pooler
    whole = Contrastive(module, (0.5,) * 3, (0.25,) * 3, "sigmoid")
    frozen = dataclasses.replace(whole, freeze_backbone=True, train_text="none")
    assert whole.train_flops_per_clip == 6 * (video.classifier_macs(0) + words + after)
    assert frozen.train_flops_per_clip == 2 * (video.classifier_macs(0) + words) + 6 * after
