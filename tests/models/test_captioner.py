"""The captioner with every backbone, and against `transformers`' encoder-decoder of a TimeSformer and a GPT-2."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax.errors import ConfigError
from vidjax.models import FAMILIES, build_model
from vidjax.models.beam_search import Beams, beam_search
from vidjax.models.captioner import Captioner, CaptionerSpec, join, shift_right
from vidjax.models.decoding import Prompt, greedy
from vidjax.models.gpt2 import GPT2, GPT2Spec
from vidjax.weights.families.gpt2 import with_cross_attention

TEXT = GPT2Spec(width=40, depth=2, num_heads=4, mlp_dim=64, vocab_size=31, num_positions=12)


def tiny(family, **overrides):
    return build_model(f"{family}_tiny", num_classes=0, num_frames=4, image_size=(16, 24), **overrides)


def clips_of(backbone, *leading, seed=0):
    return np.random.default_rng(seed).normal(size=(*leading, *backbone.spec.clip_shape)).astype(np.float32)


def random_params(module, *inputs):
    """Random parameters of the module's shapes, without compiling its initialisers."""
    shapes, rng = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"], np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(scale=0.1, size=leaf.shape).astype(np.float32), shapes)


def pretrained(family, spec, **overrides):
    """A captioner of a random backbone and a random language model, its parameters, and the language model alone."""
    backbone, alone = tiny(family, **overrides), GPT2(TEXT)
    backbone_params, text_params = random_params(backbone, clips_of(backbone, 1)), random_params(alone, TOKENS)
    decoder, decoder_params, _ = with_cross_attention(alone, text_params, jax.random.key(2))
    captioner = Captioner(backbone, decoder, spec)
    return captioner, join(captioner, backbone_params, decoder_params, jax.random.key(3)), (alone, text_params)


def told(params):
    """The same with a cross-attention whose output is not zero."""
    decoder = params["decoder"]
    proj = decoder["blocks"]["cross_attn"]["proj"]
    proj = proj | {"kernel": 0.3 * jax.random.normal(jax.random.key(9), proj["kernel"].shape)}
    blocks = decoder["blocks"] | {"cross_attn": decoder["blocks"]["cross_attn"] | {"proj": proj}}
    return params | {"decoder": decoder | {"blocks": blocks}}


TOKENS = np.array([[0, 5, 7, 30], [0, 2, 2, 9]], np.int32)


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("timesformer", "videomamba", "videoprism") else ())
        for name in FAMILIES
    ],
)
def test_every_backbone_starts_as_the_language_model_and_learns_from_its_video(family):
    captioner, params, (alone, text_params) = pretrained(family, CaptionerSpec(encoder_features="tokens"))
    clips, other = (clips_of(captioner.backbone, 2, seed=seed) for seed in (0, 1))

    @jax.jit
    def run(params, clips):
        out = captioner.apply({"params": params}, clips, TOKENS)
        return out["logits"].var(), out

    gradient = jax.jit(jax.grad(run, has_aux=True))
    features = jax.eval_shape(captioner.backbone.apply, {"params": params["backbone"]}, clips)
    _, out = gradient(params, clips)
    assert out["states"].shape == (2, features["tokens"].shape[1] + ("cls" in features), TEXT.width)
    expected = jax.jit(alone.apply)({"params": text_params}, TOKENS)["logits"]
    close(out["logits"], expected, 1e-6, "logits")

    (grads, one), (_, two) = (gradient(told(params), x) for x in (clips, other))
    assert np.abs(one["logits"] - two["logits"]).max() > 1e-4
    assert np.abs(grads["backbone"]["encoder"]["patch_embed"]["kernel"]).max() > 0
    assert np.abs(grads["enc_to_dec_proj"]["kernel"]).max() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_pooled_features_are_one_state_per_clip(family):
    spec = CaptionerSpec(encoder_features="pooled", num_clips=3)
    captioner, params, _ = pretrained(family, spec)
    clips = clips_of(captioner.backbone, 2, 3)
    states = jax.jit(lambda clips: captioner.apply({"params": params}, clips, method="encode"))(clips)
    assert states.shape == (2, 3, TEXT.width)
    pooled = jax.jit(captioner.backbone.apply)({"params": params["backbone"]}, clips.reshape(6, *clips.shape[2:]))
    proj = params["enc_to_dec_proj"]
    expected = (pooled["pooled"] @ proj["kernel"] + proj["bias"]).reshape(2, 3, -1)
    np.testing.assert_allclose(states, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_states_of_several_clips_are_concatenated():
    one, params, _ = pretrained("videomae", CaptionerSpec())
    several = Captioner(one.backbone, one.decoder, CaptionerSpec(num_clips=2))
    clips = clips_of(one.backbone, 1, 2)
    both = jax.jit(lambda clips: several.apply({"params": params}, clips, method="encode"))(clips)
    alone = jax.jit(lambda clips: one.apply({"params": params}, clips, method="encode"))
    close(both, np.concatenate([alone(clips[:, i]) for i in range(2)], axis=1), 1e-5, "states")


def test_there_is_a_mapper_if_widths_differ_or_one_is_requested():
    def layers_of(width, mapper):
        spec = dataclasses.replace(TEXT, width=width, cross_attention=True)
        captioner = Captioner(tiny("videomae"), GPT2(spec), CaptionerSpec(mapper=mapper))
        clips = jnp.zeros((1, *captioner.backbone.spec.clip_shape))
        return set(jax.eval_shape(captioner.init, jax.random.key(0), clips, TOKENS[:1])["params"])

    assert layers_of(96, mapper=False) == {"backbone", "decoder"}
    assert layers_of(96, mapper=True) == layers_of(40, mapper=False) == {"backbone", "decoder", "enc_to_dec_proj"}


def test_an_encoder_without_dropout_drops_no_paths_in_training():
    frozen, params, _ = pretrained("videomae", CaptionerSpec(encoder_dropout=False), drop_path=0.5, depth=2)
    params, clips = told(params), clips_of(frozen.backbone, 2)

    @jax.jit
    def read(key):
        return frozen.apply({"params": params}, clips, TOKENS, train=True, rngs={"dropout": jax.random.key(key)})

    one, other = read(0), read(1)
    np.testing.assert_array_equal(one["states"], other["states"])
    # Only the encoder is exempt: the language model still has dropout.
    assert np.abs(one["logits"] - other["logits"]).max() > 1e-3

    free = Captioner(frozen.backbone, frozen.decoder, CaptionerSpec())

    @jax.jit
    def states(key):
        return free.apply({"params": params}, clips, True, rngs={"dropout": jax.random.key(key)}, method="encode")

    assert np.abs(states(0) - states(1)).max() > 1e-3


def test_inputs_are_the_targets_shifted_by_one():
    targets = np.array([[5, 6, 50256, -100, -100], [7, 8, 9, 10, 50256]])
    expected = [[50256, 5, 6, 50256, 50256], [50256, 7, 8, 9, 10]]
    assert jax.jit(shift_right)(targets, 50256).tolist() == expected


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"backbone": {"num_classes": 7}}, "not a classifier with 7 classes; build or load it with num_classes=0"),
        ({"decoder": {"cross_attention": False}}, "needs a language model with cross-attention"),
        ({"spec": {"num_clips": 3}}, "1 clips per video, but the captioner has num_clips=3"),
        ({"spec": {"encoder_features": "cls"}}, "encoder_features='cls' is unknown; choose one of pooled, tokens"),
        ({"spec": {"num_clips": 0}}, "num_clips=0 must be at least 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_the_remedy(parts, sentence):
    backbone = build_model(
        "videomae_tiny", num_frames=4, image_size=16, **({"num_classes": 0} | parts.get("backbone", {}))
    )
    decoder = GPT2(dataclasses.replace(TEXT, **({"cross_attention": True} | parts.get("decoder", {}))))

    def build():
        captioner = Captioner(backbone, decoder, CaptionerSpec(**parts.get("spec", {})))
        return captioner.init(jax.random.key(0), jnp.zeros((1, 4, 16, 16, 3)), TOKENS[:1])

    with pytest.raises(ConfigError, match=sentence):
        jax.eval_shape(build)


@pytest.mark.parametrize("width", [24, pytest.param(32, marks=pytest.mark.slow)])
def test_logits_loss_gradients_and_captions_match_transformers(width):
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch's (extra: test)")
    transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
    from gpt2_peer import state_of

    text = dataclasses.replace(TEXT, width=width, cross_attention=True)
    captioner = Captioner(
        build_model("timesformer_tiny", num_classes=0, width=32, depth=2, num_frames=2, image_size=16),
        GPT2(text),
        CaptionerSpec(encoder_features="tokens"),
    )
    model = encoder_decoder(transformers, captioner)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    params = captioner_params(captioner, state_of(model))
    clips = clips_of(captioner.backbone, 2)
    pixels = torch.from_numpy(np.ascontiguousarray(clips.transpose(0, 1, 4, 2, 3)))
    targets = np.array([[5, 9, 0, -100, -100], [7, 8, 8, 30, 0]])

    theirs = model(pixel_values=pixels, labels=torch.from_numpy(targets))
    theirs.loss.backward()

    def loss(params):
        logits = captioner.apply({"params": params}, clips, shift_right(targets, 0))["logits"]
        gains = jnp.take_along_axis(jax.nn.log_softmax(logits), np.maximum(targets, 0)[..., None], axis=-1)[..., 0]
        return -jnp.sum(gains * (targets >= 0)) / np.sum(targets >= 0), logits

    (ours, logits), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    close(logits, theirs.logits.detach().numpy(), 2e-5, "logits")
    assert float(ours) == pytest.approx(theirs.loss.item(), rel=1e-5)
    expected = captioner_params(captioner, state_of(model, gradients=True))
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for (path, a), b in zip(jax.tree.leaves_with_path(grads), jax.tree.leaves(expected), strict=True):
        key = jax.tree_util.keystr(path)
        if np.abs(b).max() > 1e-6 * largest:  # key biases: zero up to rounding
            close(a, b, 1e-4, key)

    states = jax.jit(lambda clips: captioner.apply({"params": params}, clips, method="encode"))(clips)
    prompt, options = np.zeros((2, 1), np.int32), {"max_tokens": 7, "eos": 0}
    with torch.no_grad():
        likeliest, beams = (
            model.generate(pixel_values=pixels, max_new_tokens=7, num_beams=k, do_sample=False)[:, 1:].numpy()
            for k in (1, 3)
        )
    decoder = captioner.decoder, params["decoder"], Prompt(prompt, states)
    np.testing.assert_array_equal(greedy(*decoder, **options)["tokens"][:, : likeliest.shape[1]], likeliest)
    found = beam_search(*decoder, Beams(3), **options)["tokens"][:, 0]
    np.testing.assert_array_equal(found[:, : beams.shape[1]], beams)


def encoder_decoder(transformers, captioner):
    """The transformers model with the shape of a captioner; bos = eos = pad = 0."""
    video, text = captioner.backbone.spec, captioner.decoder.spec
    encoder = transformers.TimesformerModel(
        transformers.TimesformerConfig(
            hidden_size=video.width,
            num_hidden_layers=video.depth,
            num_attention_heads=video.num_heads,
            intermediate_size=video.mlp_dim,
            patch_size=video.patch_size,
            image_size=video.image_size,
            num_frames=video.num_frames,
            layer_norm_eps=video.norm_eps,
        )
    )
    decoder = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_embd=text.width,
            n_layer=text.depth,
            n_head=text.num_heads,
            n_inner=text.mlp_dim,
            vocab_size=text.vocab_size,
            n_positions=text.num_positions,
            add_cross_attention=True,
        )
    )
    model = transformers.VisionEncoderDecoderModel(encoder=encoder, decoder=decoder).eval()
    for config in (model.config, model.generation_config):
        config.pad_token_id = config.eos_token_id = config.bos_token_id = config.decoder_start_token_id = 0
    return model


def captioner_params(captioner, state):
    """The parameters of a captioner from the transformers model's state, by our rules."""
    from vidjax.weights import rules
    from vidjax.weights.families import gpt2, timesformer

    clips = jax.ShapeDtypeStruct((1, *captioner.backbone.spec.clip_shape), jnp.float32)
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    shapes = jax.eval_shape(captioner.init, jax.random.key(0), clips, tokens)["params"]

    def part(name, prefix, rule_set):
        held = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        return rules.read(rule_set, held, lambda: shapes[name])

    video = captioner.backbone.spec
    params = {
        "backbone": part("backbone", "encoder.", timesformer.rules(video, 0, timesformer.TRANSFORMERS)),
        "decoder": part("decoder", "decoder.", gpt2.rules(captioner.decoder.spec)),
    }
    if "enc_to_dec_proj" in shapes:
        weight, bias = state["enc_to_dec_proj.weight"], state["enc_to_dec_proj.bias"]
        params["enc_to_dec_proj"] = {"kernel": weight.T, "bias": bias}
    return params


def close(ours, theirs, share, name):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * float(np.abs(theirs).max()), err_msg=name)
