"""V-JEPA 2 checkpoints of `transformers` and of the authors: the same outputs as PyTorch, there and back."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest
import safetensors.numpy

import vidjax
from vidjax.errors import WeightsError
from vidjax.models.vjepa2 import VJEPA2_SPECS, VJEPA2Spec
from vidjax.training.convert import save_as_run
from vidjax.weights import export
from vidjax.weights.families.vjepa2 import LAYOUTS
from vidjax.weights.pretrained import _as_published, load

torch = pytest.importorskip("torch", reason="the files are PyTorch's (extra: test)")
transformers = pytest.importorskip("transformers", reason="the oracle is in transformers (extra: test)")
import vjepa2_peer  # noqa: E402 - needs torch and transformers
from vjepa2_peer import authors_file, encode, peer, pixels_of, probe_file, random_clips  # noqa: E402

SPEC = VJEPA2Spec(
    36, 3, 3, 150, 24, 2, 2, 97, num_mask_tokens=4, pooler_depth=2, pooler_heads=3, pooler_norm_eps=1e-6,
    patch_size=4, num_frames=4, image_size=12,
)  # fmt: skip
BESIDE = {  # what an authors' file leaves open in an unpublished size
    "num_attention_heads": 3, "pred_num_attention_heads": 2, "pooler_heads": 3, "frames_per_clip": 4, "crop_size": 12,
}  # fmt: skip


def pretraining(**options):
    return peer(transformers.VJEPA2Model, SPEC, **options)


def classifier(**options):
    return peer(transformers.VJEPA2ForVideoClassification, SPEC, num_labels=5, **options)


def close(ours, theirs, limit=2e-5):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * np.abs(theirs).max())


def same(ours, theirs):
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def saved(model, folder):
    """A folder as `transformers` writes it, in float32."""
    model.float().save_pretrained(folder)
    model.double()
    return folder


def written(tree, path, **beside):
    """An authors' file, with a config.json beside it."""
    torch.save(tree, path)
    (path.parent / "config.json").write_text(json.dumps(BESIDE | beside))
    return path


def predicted(model, clips, context_idx, target_idx):
    return jax.jit(model.module.apply)({"params": model.params}, clips, context_idx, target_idx)["predicted"]


def some_cubes():
    order = np.random.default_rng(0).permuted(np.tile(np.arange(SPEC.num_tokens), (2, 1)), axis=1)
    return order[:, :7], order[:, 7:10]


def test_a_model_of_transformers_is_read_whole_and_goes_back(tmp_path):
    model = vidjax.from_pretrained(saved(theirs := pretraining(), tmp_path / "theirs"))
    assert (model.family, model.num_classes, model.notes) == ("vjepa2", None, ())
    clips, (context_idx, target_idx) = random_clips(SPEC), some_cubes()
    wanted = vjepa2_peer.predict(theirs, encode(theirs, clips, context_idx), context_idx, target_idx)
    close(predicted(model, clips, context_idx, target_idx), wanted)
    assert export(model, tmp_path / "ours") == ()
    again, report = transformers.VJEPA2Model.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, parameter in again.state_dict().items():
        assert torch.equal(parameter, theirs.state_dict()[name].float()), name
    assert again.config.mlp_ratio * SPEC.width // 1 == SPEC.mlp_dim


def test_frozen_features_are_those_of_transformers(tmp_path):
    model = vidjax.from_pretrained(saved(theirs := pretraining(), tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SPEC.clip_shape), np.uint8)
    clips = (pixels / 255 - np.array(model.mean)) / np.array(model.std)
    tokens = theirs.get_vision_features(pixels_of(clips))
    found = model(pixels)
    close(found["tokens"], tokens)
    close(found["pooled"], tokens.mean(1))


def test_a_classifier_of_transformers_gives_its_logits_and_goes_back(tmp_path):
    theirs = classifier(id2label=dict(enumerate("abcde")))
    model = vidjax.from_pretrained(saved(theirs, tmp_path / "theirs"))
    assert (model.num_classes, model.labels) == (5, tuple("abcde"))
    assert (model.spec.pooler_heads, model.spec.pooler_norm_eps) == (3, 1e-6)
    assert model.notes == ("the predictor, which only pre-training uses, is left out",)
    clips = random_clips(SPEC)
    logits = theirs(pixels_of(clips)).logits
    close(jax.jit(model.module.apply)({"params": model.params}, clips)["logits"], logits)
    assert export(model, tmp_path / "ours") == ()
    again, report = transformers.VJEPA2ForVideoClassification.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert all(key.startswith("vjepa2.predictor.") for key in report["missing_keys"])
    assert not report["unexpected_keys"]
    close(again.double().eval()(pixels_of(clips)).logits.detach(), logits)
    same(load(tmp_path / "ours").params, model.params)


def test_a_model_without_biases_is_read_with_a_note(tmp_path):
    model = load(saved(theirs := pretraining(qkv_bias=False), tmp_path))
    assert any("qkv_bias=False" in note for note in model.notes)
    context_idx = np.tile(np.arange(SPEC.num_tokens), (2, 1))
    clips = random_clips(SPEC)
    wanted = theirs(
        pixels_of(clips), context_mask=[torch.from_numpy(context_idx)], target_mask=[torch.arange(3)[None].repeat(2, 1)]
    )
    close(predicted(model, clips, context_idx, context_idx[:, :3]), wanted.predictor_output.last_hidden_state)


@pytest.mark.parametrize("average", [False, True])
def test_the_authors_file_holds_the_same_model(tmp_path, average):
    theirs = pretraining()
    other = pretraining()
    if average:
        with torch.no_grad():
            other.encoder.layernorm.bias.add_(1)
    tree = authors_file(theirs, other)
    tree["encoder"]["module.backbone.pos_embed"] = torch.zeros(1, SPEC.num_tokens, SPEC.width)
    tree["predictor"]["module.backbone.predictor_pos_embed"] = torch.zeros(1, SPEC.num_tokens, SPEC.predictor_width)
    model = load(written(tree, tmp_path / "some.pt"))
    same(model.params, load(saved(theirs, tmp_path / "theirs")).params)
    assert model.num_classes is None
    verdict = "differs" if average else "equals it"
    assert f"encoder is used, as in the authors' hub code; target_encoder, its moving average, {verdict}" in model.notes
    assert any("pos_embed" in note for note in model.notes)
    assert dataclasses.replace(model.spec, pooler_depth=2, pooler_norm_eps=1e-6) == SPEC


def test_an_encoder_alone_is_a_backbone(tmp_path):
    theirs = pretraining()
    state = {f"module.{key}": value for key, value in vjepa2_peer.official(theirs)["encoder"].items()}
    model = vidjax.from_pretrained(written(state, tmp_path / "encoder.pt"))
    assert model.num_classes == 0
    same(model.params["encoder"], load(saved(theirs, tmp_path / "theirs")).params["encoder"])


def test_a_probe_is_read_with_the_moving_average_that_it_was_trained_on(tmp_path):
    theirs, student = classifier(), pretraining()
    with torch.no_grad():
        student.encoder.layernorm.bias.add_(1)
    for module in theirs.pooler.modules():  # the authors' probes have PyTorch's default
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5
    torch.save(authors_file(student, theirs.vjepa2), tmp_path / "vitl.pt")
    other = classifier()
    torch.nn.init.zeros_(other.classifier.bias)
    model = vidjax.from_pretrained(written(probe_file(theirs, [other]), tmp_path / "ssv2-vitl-16x2x3.pt"))
    clips = random_clips(SPEC)
    assert model.num_classes == 5
    found = jax.jit(model.module.apply)({"params": model.params}, clips)["logits"]
    close(found, theirs(pixels_of(clips)).logits)
    assert "the probe reads the features of target_encoder" in model.notes
    assert any("2 probes; the first is used" in note for note in model.notes)
    assert any(note.endswith("vitl.pt") for note in model.notes)


def test_a_probe_without_its_encoder_says_which_file_is_missing(tmp_path):
    torch.save(authors_file(pretraining()), tmp_path / "vitg.pt")  # another encoder
    path = written(probe_file(classifier()), tmp_path / "ssv2-vitg-384-64x2x3.pt")
    with pytest.raises(WeightsError, match=r"put the encoder's file, vitg-384\.pt, beside it"):
        load(path)
    nameless = written(probe_file(classifier()), tmp_path / "probe.pt")
    with pytest.raises(
        WeightsError, match=r"put the encoder's file, such as vitl\.pt, beside it; the probe.s file name"
    ):
        load(nameless)


def test_a_probe_of_another_width_than_its_encoder_is_refused_in_a_sentence(tmp_path):
    wide = peer(transformers.VJEPA2ForVideoClassification, dataclasses.replace(SPEC, width=48), num_labels=5)
    torch.save(authors_file(pretraining()), tmp_path / "vitl.pt")
    path = written(probe_file(wide), tmp_path / "ssv2-vitl-16x2x3.pt")
    with pytest.raises(WeightsError, match="reads features of width 48, but the encoder beside it has width 36;"):
        load(path)


@pytest.mark.parametrize(
    ("name", "width", "classes", "clip", "levels"),
    [
        ("ssv2-vitl-16x2x3", 1024, 174, (16, 256), ()),
        ("diving48-vitl-256", 1024, 48, (32, 256), (17, 19, 21, 23)),
        ("ssv2-vitg-384-64x2x3", 1408, 174, (64, 384), ()),
        ("vitg-384", 1408, None, (64, 384), ()),
        ("vitg", 1408, None, (64, 256), ()),
    ],
)
def test_the_authors_file_names_say_which_clips_they_take(name, width, classes, clip, levels):
    """Sizes: the authors' configs/inference and README."""
    spec = next(spec for size, spec in VJEPA2_SPECS.items() if spec.width == width and size != "tiny")
    state = {
        "encoder/patch_embed.proj.weight": (width, 3, 2, 16, 16),
        "encoder/norm.weight": (width,),
        "encoder/blocks.0.attn.qkv.bias": (3 * width,),
        f"encoder/blocks.{spec.depth - 1}.mlp.fc1.weight": (spec.mlp_dim, width),
        "encoder/blocks.0.mlp.fc1.weight": (spec.mlp_dim, width),
    }
    if classes:
        state |= {"classifier/linear.weight": (classes, width), "classifier/pooler.query_tokens": (1, 1, width)}
        state |= {"classifier/pooler.blocks.2.norm1.weight": (width,)}
    arrays = {key: np.broadcast_to(np.float32(0), shape) for key, shape in state.items()}
    assert LAYOUTS[0].recognises(arrays.keys(), None)
    described = _as_published(LAYOUTS[0].describe(arrays, None), f"folder/{name}.pt")
    found = described.spec
    assert (found.num_frames, found.image_size, found.levels) == (*clip, levels)
    assert (found.width, found.depth, found.num_heads, found.mlp_dim) == (
        width,
        spec.depth,
        spec.num_heads,
        spec.mlp_dim,
    )
    assert (found.pooler_heads, found.pooler_depth, found.pooler_norm_eps) == (16, 3, 1e-5)


def test_what_transformers_lacks_is_written_under_the_authors_names_and_read_again(tmp_path):
    model = load(saved(classifier(), tmp_path / "theirs"))
    spec = dataclasses.replace(model.spec, levels=(1, 2), pooler_norm_eps=1e-5)
    model = dataclasses.replace(model, spec=spec, module=model.module.clone(spec=spec))
    [note] = export(model, tmp_path / "ours")
    assert note == (
        "the pooler reads the blocks (1, 2); in transformers, it reads only the last; the arrays are written in "
        "the layout 'V-JEPA 2, official'"
    )
    (tmp_path / "ours" / "config.json").write_text(json.dumps(BESIDE | {"levels": [1, 2]}))
    again = load(tmp_path / "ours" / "model.safetensors")
    same(again.params, model.params)
    assert again.num_classes == 5


def test_epsilons_that_transformers_cannot_tell_apart_are_noted(tmp_path):
    model = load(saved(classifier(), tmp_path / "theirs"))
    spec = dataclasses.replace(model.spec, pooler_norm_eps=1e-5)
    model = dataclasses.replace(model, spec=spec, module=model.module.clone(spec=spec))
    [note] = export(model, tmp_path / "ours")
    assert note.startswith("pooler_norm_eps is 1e-06 in transformers")


def test_other_heads_of_the_pooler_are_not_written_for_transformers(tmp_path):
    model = load(saved(classifier(), tmp_path / "theirs"))
    spec = dataclasses.replace(model.spec, pooler_heads=6)
    module = vidjax.build_model("vjepa2_tiny", num_classes=5).clone(spec=spec)
    model = dataclasses.replace(model, spec=spec, module=module)
    assert "the pooler has 6 heads" in export(model, tmp_path / "ours")[0]


def test_a_run_holds_the_encoder(tmp_path):
    model = vidjax.from_pretrained(saved(pretraining(), tmp_path / "theirs"))
    config = save_as_run(model, tmp_path / "run")
    assert config.task == "classification"
    again = vidjax.from_pretrained(tmp_path / "run")
    same(again.params, {"encoder": model.params["encoder"]})
    assert again.num_classes == 0


def test_other_clips_and_classes_keep_the_encoder(tmp_path):
    saved(pretraining(), tmp_path)
    model = vidjax.from_pretrained(tmp_path, num_frames=8, image_size=(8, 16), num_classes=3)
    assert model(np.zeros((8, 8, 16, 3), np.uint8))["logits"].shape == (3,)
    assert "rotary positions computed for 4x2x4 cubes (t h w) instead of 2x3x3" in model.notes
    assert "starts fresh: pooler" in model.notes
    assert "not used: predictor" in model.notes


def test_every_key_is_accounted_for(tmp_path):
    saved(pretraining(), tmp_path)
    path = tmp_path / "model.safetensors"
    state = safetensors.numpy.load_file(path)
    state["extra.weight"] = np.zeros(3, np.float32)
    del state["predictor.layer.1.mlp.fc2.bias"]
    safetensors.numpy.save_file(state, path)
    with pytest.raises(WeightsError) as caught:
        load(tmp_path)
    assert "1 key is unused: extra.weight" in str(caught.value)
    assert "1 key is missing: predictor.layer.1.mlp.fc2.bias" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 48}, "says hidden_size=48, but the arrays have 36"),
        ({"pred_num_hidden_layers": 3}, "says pred_num_hidden_layers=3, but the arrays have 2"),
        ({"hidden_act": "relu"}, "hidden_act='relu'; a V-JEPA 2 has gelu"),
        ({"num_attention_heads": 5}, "width=36 is not a multiple of its 5 attention heads"),
    ],
)
def test_a_config_json_that_contradicts_the_arrays_is_refused(tmp_path, change, words):
    saved(pretraining(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsError, match=re.escape(words)):
        load(tmp_path)


def test_unknown_heads_are_not_guessed(tmp_path):
    torch.save(authors_file(pretraining()), tmp_path / "some.pt")
    with pytest.raises(WeightsError, match="a width of 36, which no published V-JEPA 2 has, does not determine"):
        load(tmp_path / "some.pt")


def test_a_predictor_of_actions_is_left_out_with_a_note(tmp_path):
    tree = authors_file(pretraining())
    tree["predictor"] = {"module.backbone.action_encoder.weight": torch.zeros(24, 7)} | tree["predictor"]
    model = load(written(tree, tmp_path / "vjepa2-ac-vitg.pt"))
    assert model.num_classes == 0
    assert any("V-JEPA 2-AC" in note for note in model.notes)
