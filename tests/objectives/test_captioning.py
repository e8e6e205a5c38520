"""Captioning: the loss against PyTorch's, the variants, and which parameters are trained."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vidjax.config import CaptionConfig, Config, DataConfig, ModelConfig, OptimConfig
from vidjax.errors import ConfigError
from vidjax.models.captioner import IGNORED
from vidjax.models.param_paths import join, split
from vidjax.tasks import build_objective
from vidjax.training.optim import RunLength, build_optimizer

VOCAB, END = 31, 30
CAPTION = CaptionConfig(decoder="tiny", vocab_size=VOCAB, end_token=END, num_tokens=6, dropout=0.0)
DATA = DataConfig(num_frames=4, image_size=16)
MODEL = ModelConfig(name="timesformer_tiny", dtype="float32")
RNGS = {"dropout": jax.random.key(1)}


def objective_of(model="timesformer_tiny", frames=4, **caption):
    config = Config(
        task="captioning",
        model=dataclasses.replace(MODEL, name=model),
        data=dataclasses.replace(DATA, num_frames=frames),
        caption=dataclasses.replace(CAPTION, **caption),
    )
    return build_objective(config, 0)


def params_of(objective):
    """Random parameters, without compiling the initialisers."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(scale=0.1, size=leaf.shape), jnp.float32), shapes)


def batch_of(frames=4, rows=3):
    rng = np.random.default_rng(1)
    return {
        "video": rng.integers(0, 255, (rows, frames, 16, 16, 3), np.uint8),
        "tokens": np.array([[3, 8, 1, END, -100, -100], [5, 2, END, -100, -100, -100], [9, 9, 9, 9, 9, 9]], np.int32),
        "valid": np.array([True, True, False]),
    }


@pytest.fixture(scope="module")
def whole():
    """A captioner whose parameters are all trained."""
    objective = objective_of()
    return objective, params_of(objective)


def test_captions_in_micro_batches_have_the_loss_of_the_whole_batch(whole):
    (objective, params), batch = whole, batch_of()
    loss_of = jax.jit(lambda batch: objective.loss(params, {}, batch, RNGS, False)[0])
    rows = [{name: leaf[number : number + 1] for name, leaf in batch.items()} for number in range(3)]
    parts = [float(loss_of(row)) for row in rows]
    weights = [int(objective.weight(row)) for row in rows]
    assert weights == [4, 3, 0]  # tokens of valid rows
    np.testing.assert_allclose(loss_of(batch), np.average(parts, weights=weights), rtol=1e-5)


def test_the_loss_matches_pytorchs_cross_entropy_of_shifted_captions(whole):
    torch = pytest.importorskip("torch", reason="the oracle is torch (extra: test)")
    (objective, params), batch = whole, batch_of()
    loss, (metrics, _) = jax.jit(lambda params, batch: objective.loss(params, {}, batch, RNGS, False))(params, batch)
    clips = (batch["video"][:, None] / 255 - np.array(objective.mean)) / np.array(objective.std)
    read = np.array([[END, 3, 8, 1, END, END], [END, 5, 2, END, END, END], [END, 9, 9, 9, 9, 9]], np.int32)
    logits = jax.jit(objective.module.apply)({"params": params}, clips.astype(np.float32), read)["logits"]
    logits = np.asarray(logits)
    targets = np.where(batch["valid"][:, None], batch["tokens"], IGNORED)
    theirs = torch.nn.functional.cross_entropy(
        torch.tensor(logits).reshape(-1, VOCAB), torch.tensor(targets, dtype=torch.long).reshape(-1), ignore_index=-100
    )
    assert float(loss) == pytest.approx(float(theirs), rel=1e-5)
    right = (logits.argmax(-1) == targets)[targets != IGNORED]
    assert float(metrics["token_accuracy"]) == pytest.approx(right.mean())


def test_padding_after_a_caption_and_padding_rows_change_nothing(whole):
    (objective, params), batch = whole, batch_of()
    more = batch | {"tokens": np.pad(batch["tokens"], [(0, 0), (0, 3)], constant_values=-100)}
    other = batch | {"tokens": np.where(batch["valid"][:, None], batch["tokens"], 4)}
    loss_of = jax.jit(lambda batch: objective.loss(params, {}, batch, RNGS, False)[0])
    for changed in (more, other):
        assert float(loss_of(changed)) == pytest.approx(float(loss_of(batch)), rel=1e-6)


MOVES = {"none": set(), "time_embed": {"backbone/encoder/time_embed"}, "all": None}


@pytest.mark.parametrize("part", MOVES)
def test_only_trained_parameters_change_even_with_weight_decay(part):
    objective = objective_of(train_encoder=part)
    params = params_of(objective)
    optimizer = build_optimizer(
        OptimConfig(weight_decay=0.5, clip_norm=1.0), RunLength(4), global_batch=4, frozen=objective.frozen
    )
    tx, schedule = optimizer.tx, optimizer.schedule

    @jax.jit
    def step(params, state, batch):
        trained, held = split(params, objective.frozen)
        grads = jax.grad(lambda trained: objective.loss(join(trained, held), {}, batch, RNGS, True)[0])(trained)
        direction, state = tx.update(grads, state, trained, step=0)
        moved = optax.apply_updates(trained, jax.tree.map(lambda d: -schedule(0) * d, direction))
        return join(moved, held), state, grads

    after, state, grads = step(params, tx.init(split(params, objective.frozen)[0]), batch_of())
    moved = {name for name, leaf in named(params).items() if not np.array_equal(leaf, named(after)[name])}
    still = {name for name in named(params) if name.endswith("k_bias")}  # the softmax ignores them
    of_backbone = {name for name in named(params) if name.startswith("backbone/")}
    assert (moved - still) & of_backbone == (of_backbone - still if MOVES[part] is None else MOVES[part])
    assert set(named(params)) - of_backbone - still <= moved
    if MOVES[part] is not None:
        assert not named(grads).keys() & (of_backbone - MOVES[part])
    if part == "none":
        moments = [leaf for leaf in jax.tree.leaves(state) if getattr(leaf, "ndim", 0)]
        trained = sum(leaf.size for name, leaf in named(params).items() if name not in of_backbone)
        assert sum(leaf.size for leaf in moments) == 2 * trained  # none of the frozen


def named(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


VARIANTS = [  # the source's, with the number of states that the text attends to: 4 frames of 2 x 2 patches
    ({"train_encoder": "none", "encoder_features": "pooled"}, 1),
    ({"train_encoder": "none", "encoder_features": "tokens"}, 17),
    ({"train_encoder": "none", "encoder_features": "tokens", "mapper": True}, 17),
    ({"train_encoder": "none", "encoder_features": "pooled", "num_clips": 3}, 3),
    ({"train_encoder": "all", "encoder_features": "pooled"}, 1),
    ({"train_encoder": "all", "encoder_features": "tokens"}, 17),
]


@pytest.mark.parametrize(("caption", "states"), VARIANTS)
def test_every_variant_has_its_states_and_a_loss(caption, states):
    frames = 4 * caption.get("num_clips", 1)
    objective = objective_of(frames=frames, **caption)
    shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {})[0])
    batch = batch_of(frames)
    seen = jax.eval_shape(lambda params: objective.states(params, batch["video"]), shapes)
    assert seen.shape == (3, states, objective.module.decoder.spec.width)
    loss = jax.eval_shape(lambda params: objective.loss(params, {}, batch, RNGS, True)[0], shapes)
    assert loss.shape == ()
    assert objective.train_flops_per_clip > 0
    assert ("enc_to_dec_proj" in shapes) == (
        caption.get("mapper", False) or objective.module.backbone.spec.width != objective.module.decoder.spec.width
    )


def test_the_clips_of_a_video_are_its_frames_in_order():
    objective = objective_of(frames=8, num_clips=2, encoder_features="pooled")
    alone = objective_of(frames=4, encoder_features="pooled")
    params, video = params_of(objective), batch_of(8)["video"]

    @functools.partial(jax.jit, static_argnums=0)
    def states(objective, video):
        return objective.states(params, video)

    both = np.concatenate([states(alone, video[:, :4]), states(alone, video[:, 4:])], axis=1)
    np.testing.assert_allclose(states(objective, video), both, atol=1e-5)


def test_generated_captions_of_several_beams_are_never_less_likely_than_greedy_ones(whole):
    (objective, params), video = whole, batch_of()["video"]
    greedy = jax.jit(objective.generate)(params, video)
    beams = jax.jit(functools.partial(objective.generate, beams=4, length_penalty=0.0))(params, video)
    for texts in (greedy, beams):
        assert texts["tokens"].shape == (3, 6)
        assert texts["scores"].shape == (3,)
    assert (np.asarray(beams["scores"]) >= np.asarray(greedy["scores"]) - 1e-5).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"model": "videomae_tiny", "train_encoder": "time_embed"}, "which videomae_tiny does not have"),
        ({"frames": 4, "num_clips": 3}, "data.num_frames=4 is not a multiple of caption.num_clips=3"),
        ({"num_tokens": 1024}, "a text of 1025 tokens does not fit the 1024 positions"),
        ({"end_token": 31}, "caption.end_token=31 must be from 0 to 30, since caption.vocab_size=31; change one"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        objective_of(**options)


def test_mixing_is_refused():
    data = dataclasses.replace(DATA, mixup=0.8)
    with pytest.raises(ConfigError, match=r"data.mixup=0.8 is for task=classification"):
        build_objective(Config(task="captioning", model=MODEL, data=data, caption=CAPTION), 0)


def test_flops_of_a_backbone_depend_on_how_far_gradients_reach_into_it():
    frozen, embed, whole = (
        objective_of(train_encoder=part).train_flops_per_clip for part in ("none", "time_embed", "all")
    )
    encoder = objective_of().module.backbone.spec.classifier_macs(0)
    assert embed - frozen == whole - embed == pytest.approx(2 * encoder)  # to activations; to weights
