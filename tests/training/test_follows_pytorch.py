"""Twenty real training steps match an independent PyTorch loop of the recipes: parameters, moving average, losses.

The loop uses `transformers`' model in float64 with an optimiser of `torch.optim`. Only our rounding differs, amplified
by Adam's division by the size of the gradients, so differences are measured relative to how far a leaf has moved.
"""

import re

import jax
import numpy as np
import pytest

from vidjax.config import Config, DataConfig, OptimConfig
from vidjax.models.timesformer import TimeSformerClassifier, TimeSformerSpec
from vidjax.models.videomae import VideoMAEClassifier, VideoMAEPretraining, VideoMAESpec
from vidjax.objectives import Classification, MaskedAutoencoding
from vidjax.training import mesh as mesh_lib
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.training.random_streams import STREAMS
from vidjax.training.state import TrainState, state_shapes
from vidjax.training.step import make_train_step
from vidjax.weights import rules as rule_tables
from vidjax.weights.families import _videomae_rules, timesformer

torch = pytest.importorskip("torch", reason="the oracle is PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle's models are in transformers (extra: test)")

STEPS, ROWS, CLASSES, WARMUP = 20, 8, 5, 4
DATA = DataConfig(num_frames=4, image_size=12, global_batch=ROWS)
PIXELS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
VIDEOMAE = VideoMAESpec(
    24, 3, 4, 40, 16, 2, 2, 32, patch_size=4, num_frames=4, image_size=12,
    norm_eps=1e-12, fc_norm_eps=1e-5, decoder_norm_eps=1e-5,
)  # fmt: skip
TIMESFORMER = TimeSformerSpec(24, 2, 4, 40, patch_size=4, num_frames=4, image_size=12)
DRIFT = 3e-4  # largest difference of a leaf, relative to the total change of its most changed entry


def batches():
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        video = rng.integers(0, 256, (ROWS, *VIDEOMAE.clip_shape), dtype=np.uint8)
        yield {"video": video, "label": rng.integers(0, CLASSES, ROWS), "valid": np.ones(ROWS, bool)}


def pixels(batch):
    clips = (batch["video"] / 255 - np.array(PIXELS["mean"])) / np.array(PIXELS["std"])
    return torch.from_numpy(np.ascontiguousarray(clips.transpose(0, 1, 4, 2, 3)))


def videomae(cls, **options):
    spec = VIDEOMAE
    config = transformers.VideoMAEConfig(
        hidden_size=spec.width, num_hidden_layers=spec.depth, num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim, decoder_hidden_size=spec.decoder_width,
        decoder_num_hidden_layers=spec.decoder_depth, decoder_num_attention_heads=spec.decoder_heads,
        decoder_intermediate_size=spec.decoder_mlp_dim, patch_size=spec.patch_size, num_frames=spec.num_frames,
        image_size=12, **options,
    )  # fmt: skip
    return randomised(cls(config))


def randomised(model):
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.1)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    return model.eval().double()


def cosine_with_warmup(peak, floor):
    left = STEPS - WARMUP
    falling = floor + 0.5 * (peak - floor) * (1 + np.cos(np.pi * np.arange(left) / left))
    return [*np.linspace(0, peak, WARMUP), *falling]


def groups(model, weight_decay, layer_decay=1.0, everything_decays=False):
    """One group per parameter, as in the official code, with its weight decay and share of the learning rate."""
    layers = model.config.num_hidden_layers
    for name, parameter in model.named_parameters():
        block = re.search(r"\.encoder\.layer\.(\d+)\.", name)
        number = int(block[1]) + 1 if block else 0 if ".embeddings." in name else layers + 1
        spared = not everything_decays and (parameter.ndim == 1 or name == "mask_token")
        yield {
            "params": [parameter],
            "weight_decay": 0.0 if spared else weight_decay,
            "scale": layer_decay ** (layers + 1 - number),
        }


def train_in_torch(model, optimizer, rates, loss_of, *, ema=0.0, clip=0.0):
    """Train the model in place; return the losses and the moving average of its parameters."""
    average = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    losses = []
    for step, (rate, batch) in enumerate(zip(rates, batches(), strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        optimizer.zero_grad()
        loss = loss_of(model, batch, step)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        for name, parameter in model.named_parameters():
            average[name].mul_(ema).add_(parameter.detach(), alpha=1 - ema)
        losses.append(loss.item())
    return losses, average


def train_here(objective, optim, params, *, accumulate=1):
    """Losses and the last state, from the step that a run uses."""
    config = Config(data=DATA, optim=optim)
    mesh = mesh_lib.make_mesh(config.mesh, jax.devices()[:1])
    optimizer = build_optimizer(optim, RunLength(STEPS, optim.warmup_steps), global_batch=ROWS)
    shapes = state_shapes(config, objective, optimizer.tx, mesh)
    fresh = TrainState(
        np.zeros((), np.int32),
        params,
        jax.jit(optimizer.tx.init)(params),
        jax.tree.map(np.copy, params) if optim.ema else {},
        {},
    )
    state = jax.device_put(fresh, jax.tree.map(lambda leaf: leaf.sharding, shapes))
    step = make_train_step(objective, optimizer, seed=0, accumulate=accumulate, ema=optim.ema, shapes=shapes)
    losses = []
    for batch in batches():
        state, metrics = step(state, mesh_lib.global_batch(batch, mesh_lib.batch_sharding(mesh)))
        losses.append(float(metrics["train/loss"]))
    return losses, state


def as_tree(rules, objective, parameters):
    """PyTorch's parameters by name, as a vidjax tree."""
    shapes = jax.eval_shape(
        lambda: objective.init(jax.random.key(0), {"video": np.zeros((1, *VIDEOMAE.clip_shape))})[0]
    )
    return rule_tables.read(rules, {name: p.detach().numpy() for name, p in parameters}, lambda: shapes)


def assert_follows(found, wanted, start):
    for (path, ours), theirs, first in zip(
        jax.tree.leaves_with_path(found), jax.tree.leaves(wanted), jax.tree.leaves(start), strict=True
    ):
        moved = np.abs(theirs - first).max()
        difference = np.abs(np.asarray(ours) - theirs).max()
        assert difference <= DRIFT * moved, f"{jax.tree_util.keystr(path)}: {difference / moved:.1e}"


FINE_TUNE = OptimConfig(
    base_lr=0.08, min_lr=0.004, reference_batch=256, warmup_steps=WARMUP, weight_decay=0.5, layer_decay=0.7, ema=0.8
)


def smoothed_cross_entropy(model, batch, step):
    del step
    return torch.nn.functional.cross_entropy(
        model(pixels(batch)).logits, torch.from_numpy(batch["label"]), label_smoothing=0.1
    )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_fine_tuning_follows_adamw_with_layer_decay_and_a_moving_average(accumulate):
    model = videomae(transformers.VideoMAEForVideoClassification, num_labels=CLASSES)
    rules = _videomae_rules.rules(VIDEOMAE, CLASSES, _videomae_rules.TRANSFORMERS_5, "videomae.")
    objective = Classification(VideoMAEClassifier(VIDEOMAE, CLASSES), **PIXELS, label_smoothing=0.1)
    start = as_tree(rules, objective, model.named_parameters())
    ours, state = train_here(objective, FINE_TUNE, start, accumulate=accumulate)

    optimizer = torch.optim.AdamW(groups(model, 0.5, layer_decay=0.7), betas=(0.9, 0.999), eps=1e-8)
    rates = cosine_with_warmup(0.08 * ROWS / 256, 0.004 * ROWS / 256)
    theirs, average = train_in_torch(model, optimizer, rates, smoothed_cross_entropy, ema=0.8)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert_follows(state.params, as_tree(rules, objective, model.named_parameters()), start)
    assert_follows(state.ema, as_tree(rules, objective, average.items()), start)
    assert min(theirs) < 0.9 * theirs[0]  # it learned something


def test_pretraining_follows_adamw_with_clipped_gradients():
    optim = OptimConfig(
        base_lr=0.06, min_lr=0.002, reference_batch=256, warmup_steps=WARMUP, beta2=0.95, weight_decay=0.5,
        clip_norm=0.5, ema=0.8,
    )  # fmt: skip
    model = videomae(transformers.VideoMAEForPreTraining, use_mean_pooling=False)
    rules = _videomae_rules.rules(VIDEOMAE, None, _videomae_rules.TRANSFORMERS_5, "videomae.")
    objective = MaskedAutoencoding(VideoMAEPretraining(VIDEOMAE), "tube", 0.7, True, **PIXELS)
    start = as_tree(rules, objective, model.named_parameters())
    ours, state = train_here(objective, optim, start)

    def loss_of(model, batch, step):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), step), STREAMS.index("mask"))
        _, masked_idx = objective.draw_masks({"mask": key}, batch)
        hidden = np.zeros((ROWS, VIDEOMAE.num_tokens), bool)
        np.put_along_axis(hidden, np.asarray(masked_idx), True, axis=1)
        return model(pixels(batch), torch.from_numpy(hidden)).loss

    optimizer = torch.optim.AdamW(groups(model, 0.5), betas=(0.9, 0.95), eps=1e-8)
    rates = cosine_with_warmup(0.06 * ROWS / 256, 0.002 * ROWS / 256)
    theirs, average = train_in_torch(model, optimizer, rates, loss_of, ema=0.8, clip=0.5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert_follows(state.params, as_tree(rules, objective, model.named_parameters()), start)
    assert_follows(state.ema, as_tree(rules, objective, average.items()), start)


def test_the_timesformer_recipe_follows_nesterov_momentum_and_steps():
    optim = OptimConfig(
        name="sgd", nesterov=True, base_lr=0.005 * 32, reference_batch=256, schedule="steps", step_epochs=(11, 14),
        step_factors=(0.1, 0.01), weight_decay=0.05, decayed="all",
    )  # fmt: skip
    spec = TIMESFORMER
    config = transformers.TimesformerConfig(
        hidden_size=spec.width, num_hidden_layers=spec.depth, num_attention_heads=spec.num_heads,
        intermediate_size=spec.mlp_dim, patch_size=spec.patch_size, num_frames=spec.num_frames, image_size=12,
        layer_norm_eps=spec.norm_eps, num_labels=CLASSES, drop_path_rate=0,
    )  # fmt: skip
    model = randomised(transformers.TimesformerForVideoClassification(config))
    rules = timesformer.rules(spec, CLASSES, timesformer.TRANSFORMERS, "timesformer.")
    objective = Classification(TimeSformerClassifier(spec, CLASSES), **PIXELS, label_smoothing=0.1)
    start = as_tree(rules, objective, model.named_parameters())
    ours, state = train_here(objective, optim, start)

    optimizer = torch.optim.SGD(groups(model, 0.05, everything_decays=True), lr=0, momentum=0.9, nesterov=True)
    rates = [0.005] * 11 + [0.0005] * 3 + [0.00005] * 6
    theirs, _ = train_in_torch(model, optimizer, rates, smoothed_cross_entropy)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert_follows(state.params, as_tree(rules, objective, model.named_parameters()), start)
