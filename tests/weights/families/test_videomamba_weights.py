"""VideoMamba checkpoints for videos, images and masked pre-training: read, changed on loading, and written again."""

import dataclasses

import jax
import numpy as np
import pytest

import vidjax
from vidjax.errors import WeightsError
from vidjax.models.videomamba import VideoMambaClassifier, VideoMambaSpec
from vidjax.weights import rules as rule_tables
from vidjax.weights.checkpoint_layouts import recognise
from vidjax.weights.export_files import export
from vidjax.weights.families import videomamba

torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
import videomamba_torch  # noqa: E402 - needs torch

CLASSES = 5
SPEC = VideoMambaSpec(20, 2, patch_size=4, num_frames=6, image_size=16, state_size=7, conv_size=3, tubelet_size=2)


def peer(spec, num_classes=CLASSES, **options):
    torch.manual_seed(0)
    model = videomamba_torch.VideoMamba(spec, num_classes, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def numpy_state(model):
    return {key: tensor.numpy() for key, tensor in model.state_dict().items()}


def clips_of(spec, frames=None):
    """uint8 clips for vidjax; the same clips, normalised like the authors', for PyTorch."""
    shape = (2, frames or spec.num_frames, *spec.frame_size, 3)
    clips = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    normal = (clips / 255 - np.array(videomamba.MEAN)) / np.array(videomamba.STD)
    return clips, torch.from_numpy(normal.transpose(0, 4, 1, 2, 3).astype(np.float32))


def close(ours, theirs, limit=2e-5):
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=limit * np.abs(theirs).max())


@pytest.mark.parametrize("wrapper", [None, "model", "module"])
def test_the_authors_file_of_videos_gives_their_logits(tmp_path, wrapper):
    model = peer(SPEC)
    state = model.state_dict()
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "video.pth")
    ours = vidjax.from_pretrained(tmp_path / "video.pth")
    assert ours.spec == SPEC
    assert (ours.num_classes, ours.clip_recipe.merge, ours.mean) == (CLASSES, "mean_softmax", (0.485, 0.456, 0.406))
    clips, normal = clips_of(SPEC)
    close(ours(clips)["logits"], model(normal))


def test_an_image_file_becomes_a_one_frame_model_and_notes_what_is_filled_with_zeros(tmp_path):
    spec = dataclasses.replace(SPEC, tubelet_size=1, num_frames=1)
    model = peer(spec, image_model=True)
    torch.save(model.state_dict(), tmp_path / "image.pth")
    ours = vidjax.from_pretrained(tmp_path / "image.pth")
    assert ours.spec == spec
    assert any("temporal_pos_embedding is filled with zeros" in note for note in ours.notes)
    clips, normal = clips_of(spec)
    close(ours(clips)["logits"], model(normal))
    video = vidjax.from_pretrained(tmp_path / "image.pth", num_frames=4, num_classes=3)
    assert video.params["encoder"]["time_embed"].shape == (4, spec.width)
    assert not np.any(video.params["encoder"]["time_embed"])
    assert any("fresh head for 3 classes" in note for note in video.notes)


def test_the_decoder_of_masked_pre_training_is_dropped_with_a_note(tmp_path):
    model = peer(SPEC, num_classes=0)
    state = model.state_dict()
    state["norm.weight"] = state.pop("norm_f.weight")
    decoder = {"clip_decoder.0.head.weight": torch.ones(9, 20), "clip_decoder.0.norm.bias": torch.ones(9)}
    torch.save({"model": state | decoder | {"clip_pos_embed": torch.ones(1, 49, 20)}}, tmp_path / "masked.pth")
    ours = vidjax.from_pretrained(tmp_path / "masked.pth")
    assert ours.num_classes == 0
    assert any("clip_decoder" in note for note in ours.notes)
    clips, normal = clips_of(SPEC)
    close(ours(clips)["cls"], model(normal))


def test_frames_are_counted_from_the_arrays_and_interpolated(tmp_path):
    """A published file of 64 frames holds the positions of 32."""
    model = peer(SPEC)
    torch.save(model.state_dict(), tmp_path / "f12.pth")
    ours = vidjax.from_pretrained(tmp_path / "f12.pth", num_frames=12)
    assert any("encoder/time_embed resized from 3 to 6 (t; linear)" in note for note in ours.notes)
    longer = videomamba_torch.VideoMamba(dataclasses.replace(SPEC, num_frames=12), CLASSES)
    state, time = model.state_dict(), "temporal_pos_embedding"
    state[time] = torch.nn.functional.interpolate(state[time].mT, 6, mode="linear").mT
    longer.load_state_dict(state)
    clips, normal = clips_of(SPEC, frames=12)
    close(ours(clips)["logits"], longer(normal))


@pytest.mark.parametrize("merge", ["sum", "mean"])
def test_exported_weights_run_in_the_authors_model(tmp_path, merge):
    """Their mixer adds its directions; a mean of directions is folded into the output projection."""
    spec = dataclasses.replace(SPEC, merge_directions=merge)
    torch.save(peer(SPEC).state_dict(), tmp_path / "video.pth")
    ours = vidjax.from_pretrained(tmp_path / "video.pth")
    ours = dataclasses.replace(ours, module=VideoMambaClassifier(spec, CLASSES), spec=spec)
    notes = export(ours, tmp_path / "exported")
    assert any("transformers has no videomamba" in note for note in notes)
    load_file = pytest.importorskip("safetensors.torch", reason="it reads the written file (extra: test)").load_file
    theirs = videomamba_torch.VideoMamba(SPEC, CLASSES)
    theirs.load_state_dict(load_file(tmp_path / "exported" / "model.safetensors"))
    clips, normal = clips_of(SPEC)
    close(ours(clips)["logits"], theirs(normal))
    again = vidjax.from_pretrained(tmp_path / "exported" / "model.safetensors")
    close(again(clips)["logits"], theirs(normal))


def test_every_key_is_accounted_for():
    state = numpy_state(peer(SPEC))
    assert recognise(state.keys(), None, "a file").name == "VideoMamba, official"
    found = videomamba.LAYOUTS[0].describe(state, None)
    back = rule_tables.write(found.rules, rule_tables.read(found.rules, state, found.shapes))
    assert back.keys() == state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(back[key], value, err_msg=key)

    missing = {key: value for key, value in state.items() if key != "layers.1.mixer.D_b"}
    with pytest.raises(WeightsError, match=r"1 key is missing: layers\.1\.mixer\.D_b"):
        rule_tables.read(found.rules, missing, found.shapes)
    with pytest.raises(WeightsError, match=r"1 key is unused: layers\.0\.mixer\.D_c"):
        rule_tables.read(found.rules, state | {"layers.0.mixer.D_c": np.ones(3)}, found.shapes)
    misshaped = state | {"layers.1.mixer.A_b_log": np.ones((40, 8), np.float32)}
    with pytest.raises(WeightsError, match=r"layers\.1\.mixer\.A_b_log \(40, 8\), unlike block 0's"):
        rule_tables.read(found.rules, misshaped, found.shapes)


@pytest.mark.parametrize(
    ("key", "shape", "sentence"),
    [
        ("patch_embed.proj.weight", (20, 1, 2, 4, 4), "takes 1 channels; clips have 3"),
        ("pos_embed", (1, 16, 20), "pos_embed, without the class token, holds 15 positions, which is not a square"),
    ],
)
def test_impossible_arrays_are_refused_with_the_reason(tmp_path, key, shape, sentence):
    torch.save(peer(SPEC).state_dict() | {key: torch.zeros(shape)}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=f"odd.pth .*{sentence}"):
        vidjax.from_pretrained(tmp_path / "odd.pth")


def test_parameters_are_float32_whatever_the_file_holds(tmp_path):
    state = {key: value.bfloat16() for key, value in peer(SPEC).state_dict().items()}
    torch.save(state, tmp_path / "half.pth")
    params = vidjax.from_pretrained(tmp_path / "half.pth").params
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
