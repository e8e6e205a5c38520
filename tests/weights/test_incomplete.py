"""Files of every family that lost their last block: refused if config.json gives the depth, otherwise noted."""

import json
import re

import flax.serialization
import numpy as np
import peers
import pytest
import safetensors.numpy
import timesformer_torch
import vivit_torch
from peers import transformers

import vidjax
from vidjax.errors import WeightsError
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.models.vivit import ViViTSpec
from vidjax.weights import checkpoint_layouts
from vidjax.weights.inspection import shape_of

SIZES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
FRAMES = {"image_size": 16, "num_frames": 4}


def saved(name, folder):
    """Save a small model of three blocks with transformers; returns its config.json."""
    text = {"n_embd": 24, "n_layer": 3, "n_head": 4, "n_inner": 40, "vocab_size": 9, "n_positions": 5}
    model = {
        "videomae": lambda: peers.classifier(),
        "timesformer": lambda: transformers.TimesformerForVideoClassification(
            transformers.TimesformerConfig(**SIZES, **FRAMES, patch_size=8)
        ),
        "vivit": lambda: transformers.VivitForVideoClassification(
            transformers.VivitConfig(**SIZES, **FRAMES, tubelet_size=[2, 8, 8])
        ),
        "image": lambda: transformers.ViTModel(transformers.ViTConfig(**SIZES, image_size=16, patch_size=8)),
        "gpt2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**text)),
    }[name]()
    model.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text())


FAMILIES = ["videomae", "timesformer", "vivit", "image", "gpt2"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_without_its_last_block_is_refused_with_both_depths(tmp_path, name):
    config = saved(name, tmp_path)
    file = tmp_path / "model.safetensors"
    state = safetensors.numpy.load_file(file)
    whole = {key: value for key, value in state.items() if not re.search(r"\b(layer|h)\.2\.", key)}
    assert len(whole) < len(state)
    safetensors.numpy.save_file(whole, file, {"format": "pt"})
    key = "n_layer" if "n_layer" in config else "num_hidden_layers"
    with pytest.raises(WeightsError, match=rf"{key}=3, but the arrays have 2; the file is incomplete") as caught:
        vidjax.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("timesformer", {"intermediate_size": 64}, "intermediate_size=64, but the arrays have 40"),
        ("timesformer", {"patch_size": 16}, "patch_size=16, but the arrays have 8"),
        ("vivit", {"intermediate_size": 64}, "intermediate_size=64, but the arrays have 40"),
        ("vivit", {"hidden_size": 32}, "hidden_size=32, but the arrays have 24"),
        ("vivit", {"tubelet_size": [4, 8, 8]}, r"tubelet_size=\[4, 8, 8\], but the arrays have \[2, 8, 8\]"),
        ("videomae", {"tubelet_size": 4}, "tubelet_size=4, but the arrays have 2"),
    ],
)
def test_sizes_in_config_json_that_differ_from_the_arrays_are_refused(tmp_path, name, change, words):
    config = saved(name, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(WeightsError, match=words):
        vidjax.from_pretrained(tmp_path)


def test_a_config_json_beside_a_file_of_scenic_is_compared_as_well(tmp_path):
    spec = ViViTSpec(12, 2, 3, 20, patch_size=4, image_size=8, num_frames=4)
    tree = {"params": vivit_torch.scenic_state(spec, 5)}
    (tmp_path / "checkpoint").write_bytes(flax.serialization.msgpack_serialize(tree))
    (tmp_path / "config.json").write_text(json.dumps({"num_frames": 4, "num_hidden_layers": 3}))
    with pytest.raises(WeightsError, match="num_hidden_layers=3, but the arrays have 2"):
        vidjax.from_pretrained(tmp_path / "checkpoint")


def described(state, config=None):
    return checkpoint_layouts.recognise(state, config, "file").describe(state, config)


CLIPS = {"patch_size": 2, "num_frames": 2, "image_size": 2}
LONE = {  # models of published widths, two blocks deep
    "timesformer": (lambda: numpy(timesformer_torch.random_state(TimeSformerSpec(768, 2, 12, 4, **CLIPS), 2)), 768, 12),
    "vivit": (
        lambda: vivit_torch.flat(vivit_torch.scenic_state(ViViTSpec(1024, 2, 16, 4, "encoder", **CLIPS), 2)),
        1024,
        24,
    ),
}


def videomamba():
    """The few arrays of the authors' file that tell the sizes."""
    shapes = {"patch_embed.proj.weight": (192, 3, 1, 2, 2), "pos_embed": (1, 2, 192), "norm_f.weight": (192,)}
    shapes |= {f"layers.{block}.mixer.{name}": (384, 16) for block in range(2) for name in ("A_log", "A_b_log")}
    shapes |= {"temporal_pos_embedding": (1, 2, 192), "layers.0.mixer.conv1d.weight": (384, 1, 4)}
    return {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}


LONE["videomamba"] = (videomamba, 192, 24)


def numpy(state):
    return {f"model.{key}": value.detach().float().numpy() for key, value in state.items()}


@pytest.mark.parametrize("name", LONE)
def test_a_lone_file_of_published_width_but_another_depth_is_noted(name):
    make, width, depth = LONE[name]
    notes = described(make()).notes
    assert (
        f"the file holds 2 blocks of width {width}, but published models have {depth}: is the file complete?" in notes
    )


def test_a_lone_videomae_of_published_width_but_another_depth_is_noted():
    sizes = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 4, "num_hidden_layers": 2}
    state = {key: value.numpy() for key, value in peers.official(peers.classifier(**sizes)).items()}
    assert any("2 blocks of width 384, but published models have 12" in note for note in described(state).notes)
    assert not any("blocks" in note for note in described(state, {"num_hidden_layers": 2}).notes)


def test_missing_and_misshapen_arrays_are_refused_with_a_remedy():
    with pytest.raises(WeightsError, match="the key cls is missing; the file is incomplete: download or save it again"):
        shape_of({}, "cls", 1)
    with pytest.raises(WeightsError, match=r"cls has shape \(2, 3\); 1 axes were expected, so this is another kind"):
        shape_of({"cls": np.zeros((2, 3))}, "cls", 1)
