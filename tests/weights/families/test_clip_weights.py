"""CLIP checkpoints: those of `transformers`, with or without the text tower, and those with OpenAI's keys."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from videos import encode, moving_texture

import vidjax
from vidjax.data.text_encoding import learn_vocabulary
from vidjax.errors import ConfigError, WeightsError
from vidjax.models.clip import CLIPVisionSpec
from vidjax.models.videoprism_text import VIDEOPRISM_TEXT_SPECS
from vidjax.weights import export
from vidjax.weights.pretrained import read_start

torch = pytest.importorskip("torch", reason="the oracle is PyTorch's CLIP (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")

VISION = {
    "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
    "image_size": 12, "patch_size": 4, "projection_dim": 10,
}  # fmt: skip
TEXT = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 50,
    "bos_token_id": 1, "eos_token_id": 2, "projection_dim": 10,
}  # fmt: skip
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SPEC = CLIPVisionSpec(24, 3, 4, 40, 10, patch_size=4, image_size=12)


def model_of(kind):
    torch.manual_seed(0)
    vision = transformers.CLIPVisionConfig(**VISION)
    if kind == "CLIPModel":
        vision = transformers.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=10)
    model = getattr(transformers, kind)(vision).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def images(rows=2):
    """uint8 clips of one frame for us; normalised images for PyTorch."""
    pixels = np.random.default_rng(1).integers(0, 256, (rows, 1, 12, 12, 3), dtype=np.uint8)
    normal = (pixels[:, 0] / 255 - np.array(MEAN)) / np.array(STD)
    return pixels, torch.from_numpy(normal.transpose(0, 3, 1, 2).astype(np.float32))


def close(ours, theirs, limit=2e-5):
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * np.abs(theirs).max())


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("kind", ["CLIPModel", "CLIPVisionModel", "CLIPVisionModelWithProjection"])
def test_a_folder_of_transformers_gives_its_features(tmp_path, kind, safe):
    model = model_of(kind)
    model.save_pretrained(tmp_path)
    if not safe:
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    ours = vidjax.from_pretrained(tmp_path, num_frames=1)
    assert (ours.family, ours.num_classes, ours.mean, ours.std) == ("clip", 0, MEAN, STD)
    assert (ours.spec.num_heads, ours.spec.projection) == (4, 10 if kind == "CLIPVisionModelWithProjection" else 0)
    pixels, normal = images()
    with torch.no_grad():
        tower = model if kind == "CLIPVisionModel" else model.vision_model
        close(ours(pixels)["pooled"], tower(normal).pooler_output)
        if kind != "CLIPVisionModel":
            close(ours(pixels)["projected"], model.visual_projection(tower(normal).pooler_output))


def openai_state(model, prefix):
    """The same tower under the names of OpenAI's code: fused projections, `proj` as (width, projection)."""
    state, found = model.state_dict(), {}
    tower = "vision_model."
    found["class_embedding"] = state[tower + "embeddings.class_embedding"]
    found["positional_embedding"] = state[tower + "embeddings.position_embedding.weight"]
    found["conv1.weight"] = state[tower + "embeddings.patch_embedding.weight"]
    found["proj"] = state["visual_projection.weight"].T.contiguous()
    for ours, theirs in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        for kind in ("weight", "bias"):
            found[f"{ours}.{kind}"] = state[f"{tower}{theirs}.{kind}"]
    names = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1"}
    for number in range(VISION["num_hidden_layers"]):
        block, source = f"transformer.resblocks.{number}.", f"{tower}encoder.layers.{number}."
        for kind in ("weight", "bias"):
            found[f"{block}attn.in_proj_{kind}"] = torch.cat(
                [state[f"{source}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            )
            for ours, theirs in (names | {"mlp.c_proj": "mlp.fc2"}).items():
                found[f"{block}{ours}.{kind}"] = state[f"{source}{theirs}.{kind}"]
    return {prefix + key: value for key, value in found.items()}


@pytest.mark.parametrize("prefix", ["", "visual."])
def test_openais_keys_give_the_same_features(tmp_path, prefix):
    model = model_of("CLIPVisionModelWithProjection")
    torch.save(openai_state(model, prefix), tmp_path / "vit.pth")
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 4}))
    ours = vidjax.from_pretrained(tmp_path / "vit.pth", num_frames=1)
    pixels, normal = images()
    close(ours(pixels)["projected"], model(normal).image_embeds)


def test_a_clip_of_frames_has_the_mean_of_their_features(tmp_path):
    model = model_of("CLIPVisionModelWithProjection")
    model.save_pretrained(tmp_path)
    ours = vidjax.from_pretrained(tmp_path)
    assert ours.spec == SPEC
    pixels, normal = images(rows=8)
    close(ours(pixels[:, 0])["projected"], model(normal).image_embeds.mean(0))


def test_positions_for_other_pixels_are_resized_as_in_transformers(tmp_path):
    model = model_of("CLIPVisionModelWithProjection")
    model.save_pretrained(tmp_path)
    ours = vidjax.from_pretrained(tmp_path, num_frames=1, image_size=20)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 1, 20, 20, 3), dtype=np.uint8)
    normal = (pixels[:, 0] / 255 - np.array(MEAN)) / np.array(STD)
    normal = torch.from_numpy(normal.transpose(0, 3, 1, 2).astype(np.float32))
    close(ours(pixels)["projected"], model(normal, interpolate_pos_encoding=True).image_embeds)


def test_heads_of_unpublished_width_need_config_json(tmp_path):
    torch.save(openai_state(model_of("CLIPVisionModelWithProjection"), ""), tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match="a width of 24 does not determine the number of heads"):
        vidjax.from_pretrained(tmp_path / "vit.pth")


def test_an_unknown_activation_is_refused(tmp_path):
    model_of("CLIPVisionModel").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with pytest.raises(WeightsError, match="hidden_act='relu'; CLIP uses quick_gelu or gelu"):
        vidjax.from_pretrained(tmp_path)


def two_towers(tmp_path):
    """A folder of both towers with a vocabulary, and the model in it."""
    encoder = learn_vocabulary(["a red seven moves left", "a dog jumps"], 16, 520)
    text = TEXT | {"vocab_size": encoder.vocab_size, "max_position_embeddings": 16, "eos_token_id": encoder.end}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(vision_config=VISION, text_config=text, projection_dim=10)
    model = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path)
    encoder.save(tmp_path)
    return model, encoder


def test_texts_and_images_share_a_space_as_in_transformers(tmp_path):
    model, encoder = two_towers(tmp_path)
    ours = vidjax.from_pretrained(tmp_path, num_frames=1)
    texts = ["A dog jumps", "left, left", "seven"]
    pixels, normal = images()
    with torch.no_grad():
        theirs = model(pixel_values=normal, input_ids=torch.from_numpy(encoder.encode(texts)).long())
    close(ours.embed_text(texts), theirs.text_embeds)
    close(ours(pixels)["embedding"], theirs.image_embeds)
    close(jax.jit(ours)(pixels)["embedding"], theirs.image_embeds)
    assert ours.embed_text([]).shape == (0, 10)
    assert np.linalg.norm(ours.embed_text(texts), axis=1) == pytest.approx(1)
    assert "videos and texts" in repr(ours)
    assert (ours.num_classes, type(ours.module.spec.text).__name__) == (0, "CLIPTextSpec")


def test_the_embedding_of_a_video_is_one_of_its_arrays(tmp_path):
    two_towers(tmp_path)
    video = tmp_path / "video.mp4"
    video.write_bytes(encode(moving_texture(8, 32, 40)))
    arrays = vidjax.from_pretrained(tmp_path, num_frames=4).embed(video)
    assert arrays["embedding"].shape == (10,)
    assert np.linalg.norm(arrays["embedding"]) == pytest.approx(1, abs=1e-6)


def test_new_classes_take_the_video_tower_alone(tmp_path):
    model, _ = two_towers(tmp_path)
    ours = vidjax.from_pretrained(tmp_path, num_frames=1, num_classes=3)
    pixels, normal = images()
    close(ours(pixels)["pooled"], model.vision_model(normal).pooler_output)
    assert ours(pixels)["logits"].shape == (2, 3)
    with pytest.raises(ConfigError, match="holds a clip without a text tower; use a model with one"):
        ours.embed_text(["a dog"])


def test_texts_need_the_vocabulary_of_the_tower(tmp_path):
    two_towers(tmp_path)
    learn_vocabulary(["a red seven moves left to the right"], 16, 540).save(tmp_path)
    with pytest.raises(WeightsError, match=r"has \d+ tokens, but the text tower has \d+; use the vocabulary"):
        vidjax.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    ours = vidjax.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="has a text tower but no vocabulary; put tokenizer"):
        ours.embed_text(["a dog"])
    with pytest.raises(ConfigError, match="embed_text takes a list of texts"):
        ours.embed_text("a dog")


def test_each_tower_alone_initialises_another_model(tmp_path):
    model, _ = two_towers(tmp_path)
    ours = vidjax.from_pretrained(tmp_path).module.spec
    text, _ = read_start(str(tmp_path), ours.text)
    video, _ = read_start(str(tmp_path), ours.video)
    whole, _ = read_start(str(tmp_path), ours)
    np.testing.assert_array_equal(text["token_embed"], model.text_model.embeddings.token_embedding.weight.detach())
    np.testing.assert_array_equal(video["encoder"]["pos_embed"], whole["video"]["encoder"]["pos_embed"])
    assert set(whole) == {"video", "text", "video_projection", "text_projection", "logit_scale", "logit_bias"}
    vision = tmp_path / "vision"
    model_of("CLIPVisionModel").save_pretrained(vision)
    with pytest.raises(WeightsError, match="holds a CLIPVision, which has no text tower"):
        read_start(str(vision), ours.text)
    with pytest.raises(
        WeightsError, match="has a CLIPText, but the model has a VideoPrismText; name weights of the same"
    ):
        read_start(str(tmp_path), VIDEOPRISM_TEXT_SPECS["videoprism_tiny"])


def test_both_towers_written_for_transformers_give_the_same_embeddings(tmp_path):
    model, encoder = two_towers(tmp_path / "original")
    ours = vidjax.from_pretrained(tmp_path / "original", num_frames=1)
    ours = dataclasses.replace(ours, params=ours.params | {"logit_bias": np.float32(-3)})
    notes = export(ours, tmp_path / "exported")
    assert notes == (
        "transformers embeds single images; a clip's embedding is the mean of its frames' features, scaled to unit "
        "length",
        "transformers has no place for the bias of similarities, which the files leave out",
    )
    again, pixels = transformers.CLIPModel.from_pretrained(tmp_path / "exported"), images()[1]
    tokens = torch.from_numpy(encoder.encode(["a dog jumps", "seven"])).long()
    with torch.no_grad():
        wanted = model(pixel_values=pixels, input_ids=tokens)
        found = again(pixel_values=pixels, input_ids=tokens)
    for name in ("image_embeds", "text_embeds", "logits_per_text"):
        close(found[name], wanted[name])
    assert vidjax.from_pretrained(tmp_path / "exported").text_encoder.vocab_size == encoder.vocab_size
