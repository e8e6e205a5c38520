"""VideoPrism's files: those of `transformers`, and those of its authors, made here from the same random weights."""

import copy
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vidjax
from vidjax.data.text_encoding import SentencePieceEncoder
from vidjax.errors import WeightsError
from vidjax.models import build_model
from vidjax.models.video_text import build_video_text
from vidjax.weights import export

torch = pytest.importorskip("torch", reason="the oracle is PyTorch's VideoPrism (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")

VISION = {
    "image_size": 18, "num_frames": 4, "tubelet_size": [1, 6, 6], "hidden_size": 32, "num_attention_heads": 4,
    "intermediate_size": 64, "num_spatial_layers": 2, "num_temporal_layers": 2, "num_auxiliary_layers": 2,
}  # fmt: skip
TEXT = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 16,
}  # fmt: skip
CLIPS = np.random.default_rng(0).integers(0, 256, (2, 4, 18, 18, 3), dtype=np.uint8)
IDS = np.array([[5, 9, 3, 41, 7, 0, 0, 0], [8, 8, 2, 49, 6, 5, 4, 30]], np.int32)


@pytest.fixture(scope="module")
def peers():
    """`transformers`' encoder, classifier and model with texts, with random weights."""
    torch.manual_seed(0)
    vision = transformers.VideoPrismVisionConfig(**VISION, num_labels=5)
    models = {
        "encoder": transformers.VideoPrismVisionModel(vision),
        "classifier": transformers.VideoPrismForVideoClassification(vision),
        "texts": transformers.VideoPrismClipModel(
            transformers.VideoPrismConfig(vision_config=VISION, text_config=TEXT)
        ),
    }
    with torch.no_grad():
        for model in models.values():
            for parameter in model.eval().parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return models


def pixels(clips):
    return torch.from_numpy((clips / 255).astype(np.float32).transpose(0, 1, 4, 2, 3))


def close(ours, theirs, limit=2e-5):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * np.abs(theirs).max())


def of_texts(model, clips=CLIPS):
    mask = torch.from_numpy((IDS != 0).astype(np.int64))
    return model(pixel_values_videos=pixels(clips), input_ids=torch.from_numpy(IDS).long(), attention_mask=mask)


def test_the_encoder_of_transformers_gives_its_tokens_for_any_number_of_frames(peers, tmp_path):
    peers["encoder"].save_pretrained(tmp_path)
    ours = vidjax.from_pretrained(tmp_path)
    assert (ours.family, ours.num_classes, ours.mean, ours.std) == ("videoprism", 0, (0, 0, 0), (1, 1, 1))
    with torch.no_grad():
        close(ours(CLIPS)["tokens"], peers["encoder"](pixels(CLIPS)).last_hidden_state)
        more = np.random.default_rng(1).integers(0, 256, (1, 6, 24, 24, 3), dtype=np.uint8)
        wanted = peers["encoder"](pixels(more), interpolate_pos_encoding=True).last_hidden_state
    close(vidjax.from_pretrained(tmp_path, num_frames=6, image_size=24)(more)["tokens"], wanted)


def test_the_classifier_of_transformers_gives_its_logits_and_gradients(peers, tmp_path):
    model = peers["classifier"]
    model.save_pretrained(tmp_path)
    ours = vidjax.from_pretrained(tmp_path)
    model.zero_grad()
    logits = model(pixels(CLIPS)).logits[:, 0]  # one query
    weights = np.random.default_rng(2).normal(size=logits.shape).astype(np.float32)
    (logits * torch.from_numpy(weights)).sum().backward()
    value, found = jax.jit(jax.value_and_grad(lambda p: _scored(ours, p, weights), has_aux=True))(ours.params)
    close(value[1], logits)
    head, block = found["pooler"], found["encoder"]["blocks"]
    close(head["query_token"], model.head.pooling_attention_query.grad[0], 1e-4)
    close(head["scale"], model.head.per_dim_scale.grad, 1e-4)
    close(block["fc1"]["kernel"][1], model.vision_model.spatial_layers[1].mlp.fc1.weight.grad.T, 1e-4)
    close(found["temporal"]["pos_embed"], model.vision_model.temporal_embeddings.position_embeddings.grad[0], 1e-4)
    notes = export(ours, tmp_path / "exported")
    assert not notes
    again = transformers.VideoPrismForVideoClassification.from_pretrained(tmp_path / "exported")
    close(again(pixels(CLIPS)).logits[:, 0].detach(), logits)


def _scored(ours, params, weights):
    logits = ours.apply({"params": params}, jnp.asarray(CLIPS))["logits"]
    return jnp.sum(logits * weights), logits


def test_the_model_with_texts_of_transformers_there_and_back(peers, tmp_path):
    peers["texts"].save_pretrained(tmp_path)
    ours = vidjax.from_pretrained(tmp_path)
    with torch.no_grad():
        wanted = of_texts(peers["texts"])
    close(ours(CLIPS)["embedding"], wanted.video_embeds)
    embed = jax.jit(lambda ids: ours.module.apply({"params": ours.params}, ids, method="encode_text"))
    close(embed(IDS), wanted.text_embeds)
    assert any("frequencies of the conversion for transformers" in note for note in ours.notes)
    (note,) = export(ours, tmp_path / "exported")
    assert note == "transformers has no place for the factor on similarities, which the files leave out"
    again = transformers.VideoPrismClipModel.from_pretrained(tmp_path / "exported")
    with torch.no_grad():
        close(of_texts(again).text_embeds, wanted.text_embeds)
        close(of_texts(again).video_embeds, wanted.video_embeds)


def test_both_towers_have_the_gradients_of_pytorch(peers, tmp_path):
    """Of every parameter, read by the rules for weights; these add 1 to some scales, which those of zeros take off."""
    model = copy.deepcopy(peers["texts"])
    model.save_pretrained(tmp_path / "weights")
    ours = vidjax.from_pretrained(tmp_path / "weights")
    weights = np.random.default_rng(3).normal(size=(2, 2, 32)).astype(np.float32)
    out = of_texts(model)
    (out.video_embeds * torch.from_numpy(weights[0]) + out.text_embeds * torch.from_numpy(weights[1])).sum().backward()
    gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}
    read = []
    for number in range(2):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(gradients[name] * (1 - number))
        model.save_pretrained(tmp_path / f"{number}")
        read.append(vidjax.from_pretrained(tmp_path / f"{number}").params)
    wanted = jax.tree.map(np.subtract, *read)

    def score(params):
        out = ours.module.apply({"params": params}, jnp.asarray(CLIPS / 255, jnp.float32), IDS)
        return jnp.sum(out["video"] * weights[0] + out["text"] * weights[1])

    found = jax.jit(jax.grad(score))(ours.params)
    for part in ("video", "video_projection", "text"):
        # The bias of all keys hardly changes a softmax, so its gradient is near rounding: a tower has one scale.
        scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted[part]))
        assert scale > 1e-2
        jax.tree.map(
            lambda a, b, s=scale: np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * s), found[part], wanted[part]
        )


def authors_file(model, path):
    """Write the weights of `transformers`' model with texts under the authors' names, blocks stacked on axis 0."""
    state = {key: array.numpy() for key, array in model.state_dict().items()}
    heads, found = 4, {}

    def put(name, *arrays):
        found[f"params/{name}"] = np.stack(arrays) if len(arrays) > 1 else arrays[0]

    def stack(name, source, depth):
        blocks = [f"{source}.{number}." for number in range(depth)]
        for theirs, ours in (("query", "q"), ("key", "k"), ("value", "v")):
            key = f"attention.{ours}_proj"
            put(
                f"{name}/self_attention/{theirs}/w",
                *(state[f"{b}{key}.weight"].T.reshape(32, heads, -1) for b in blocks),
            )
            put(f"{name}/self_attention/{theirs}/b", *(state[f"{b}{key}.bias"].reshape(heads, -1) for b in blocks))
        out = "attention.o_proj"
        put(f"{name}/self_attention/post/w", *(state[f"{b}{out}.weight"].reshape(32, heads, -1) for b in blocks))
        put(f"{name}/self_attention/post/b", *(state[f"{b}{out}.bias"] for b in blocks))
        for theirs, ours in (("layer_norm", "layernorm_before"), ("ff_layer/layer_norm", "layernorm_after")):
            put(f"{name}/{theirs}/scale", *(state[f"{b}{ours}.weight"] for b in blocks))
            put(f"{name}/{theirs}/bias", *(state[f"{b}{ours}.bias"] for b in blocks))
        for number in "12":
            put(
                f"{name}/ff_layer/ffn_layer{number}/linear/kernel",
                *(state[f"{b}mlp.fc{number}.weight"].T for b in blocks),
            )
            put(f"{name}/ff_layer/ffn_layer{number}/linear/bias", *(state[f"{b}mlp.fc{number}.bias"] for b in blocks))

    def norm(name, source):
        put(f"{name}/scale", state[f"{source}.weight"])
        put(f"{name}/bias", state[f"{source}.bias"])

    vision, pooler = "video_model.vision_model.", "contrastive_vision_pooler"
    patches = f"{vision}spatial_embeddings.patch_embeddings.projection"
    weight = state[f"{patches}.weight"][:, :, 0].transpose(2, 3, 1, 0).reshape(-1, 32)  # rows, columns, channels
    put("vision_encoder/patch_projection/linear/kernel", weight)
    put("vision_encoder/patch_projection/linear/bias", state[f"{patches}.bias"])
    for number, kind in enumerate(("spatial", "temporal"), 1):
        put(f"vision_encoder/{kind}_pos_emb/emb_var", state[f"{vision}{kind}_embeddings.position_embeddings"][0])
        stack(f"vision_encoder/{kind}_encoder/transformers_stack/x_layers", f"{vision}{kind}_layers", 2)
        norm(f"vision_encoder/{kind}_ln", f"{vision}layernorm{number}")
    stack("auxiliary_encoder/transformers_stack/x_layers", "video_model.auxiliary_layers", 2)
    put(f"{pooler}/pooling_attention_query", state["video_model.head.pooling_attention_query"][0])
    put(f"{pooler}/pooling_attention/per_dim_scale/per_dim_scale", state["video_model.head.per_dim_scale"])
    for theirs, ours in (("query", "q"), ("key", "k"), ("value", "v")):
        key = f"video_model.head.{ours}_proj"
        put(f"{pooler}/pooling_attention/{theirs}/w", state[f"{key}.weight"].T.reshape(32, heads, -1))
        put(f"{pooler}/pooling_attention/{theirs}/b", state[f"{key}.bias"].reshape(heads, -1))
    put(f"{pooler}/pooling_attention/post/w", state["video_model.head.o_proj.weight"].reshape(32, heads, -1))
    put(f"{pooler}/pooling_attention/post/b", state["video_model.head.o_proj.bias"])
    norm(f"{pooler}/pooling_attention_layer_norm", "video_model.head_layernorm")
    put("text_encoder/token_emb/emb_var", state["text_model.embeddings.token_embedding.weight"])
    put("text_encoder/cls_emb", state["text_model.embeddings.cls_emb"])
    stack("text_encoder/unimodal_transformer/x_layers", "text_model.layers", 2)
    norm("text_encoder/unimodal_ln", "text_model.layernorm")
    np.savez(path, **found)


def test_the_authors_file_gives_the_same_embeddings_with_their_text_positions(peers, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    model, words = peers["texts"], ["a dog jumps into water", "cooking rice", "playing tennis"]
    authors_file(model, tmp_path / "flax_lvt.npz")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 5), model_prefix=str(tmp_path / "sentencepiece"), vocab_size=40,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    ours = vidjax.from_pretrained(tmp_path / "flax_lvt.npz")
    # The authors' frequencies: 10000^(-i / (d / 2 - 1)), by the equation of their `PositionalEmbedding`.
    angles = np.arange(16)[:, None] * np.exp(-np.log(1e4) * np.arange(16) / 15)
    table = torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32))
    kept = model.text_model.embeddings.position_embedding.clone()
    model.text_model.embeddings.position_embedding.copy_(table)
    with torch.no_grad():
        wanted = of_texts(model)
    model.text_model.embeddings.position_embedding.copy_(kept)
    close(ours(CLIPS)["embedding"], wanted.video_embeds)
    close(ours.module.apply({"params": ours.params}, IDS, method="encode_text"), wanted.text_embeds)
    assert isinstance(ours.text_encoder, SentencePieceEncoder)
    found = ours.embed_text(["A dog!", "Playing tennis"])
    assert found.shape == (2, 32)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)


def test_a_damaged_npz_is_refused(tmp_path):
    path = tmp_path / "flax.npz"
    np.savez(path, **{"params/a": np.zeros(1000, np.float32)})
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(WeightsError, match=r"is truncated or not an \.npz file of arrays"):
        vidjax.from_pretrained(path)


def test_patches_that_are_not_square_are_refused_as_pixels(peers, tmp_path):
    authors_file(peers["texts"], tmp_path / "flax.npz")
    arrays = dict(np.load(tmp_path / "flax.npz"))
    arrays["params/vision_encoder/patch_projection/linear/kernel"] = np.zeros((3 * 15, 32), np.float32)
    np.savez(tmp_path / "flax.npz", **arrays)
    with pytest.raises(WeightsError, match=r"linear/kernel holds 15 pixels per patch, which is not a square"):
        vidjax.from_pretrained(tmp_path / "flax.npz")


def test_a_file_of_another_activation_is_refused(peers, tmp_path):
    peers["encoder"].save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with pytest.raises(WeightsError, match="hidden_act='relu'; VideoPrism's vision tower has gelu or gelu_python"):
        vidjax.from_pretrained(tmp_path)


def count(module, *inputs):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6


@pytest.mark.parametrize(("size", "encoder", "whole"), [("base", 114, 248), ("large", 354, 580)])
def test_parameter_counts_are_the_published_ones(size, encoder, whole):
    """Millions, as the authors' README prints them."""
    module = build_model(f"videoprism_{size}", num_classes=0)
    clips = jax.ShapeDtypeStruct((1, *module.spec.clip_shape), jnp.float32)
    assert round(count(module, clips)) == encoder
    model = build_video_text(f"videoprism_{size}", text=f"videoprism_{size}", projection=module.spec.width)
    assert round(count(model, clips, jax.ShapeDtypeStruct((1, 64), jnp.int32))) == whole
