"""`config.model.spec`: any field of a family's spec can be set, and nothing else."""

import dataclasses

import pytest

from vidjax.errors import ConfigError
from vidjax.main import read_config
from vidjax.models import FAMILIES, preset
from vidjax.models.clip_text import CLIP_TEXT_SPECS
from vidjax.models.gpt2 import GPT2_SPECS
from vidjax.models.spec import DEPTHS, SIZES, ClipSpec
from vidjax.models.spec_keys import SET_BY, spec_fields
from vidjax.models.videoprism_text import VIDEOPRISM_TEXT_SPECS


@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_that_the_run_does_not_set_can_be_set(family):
    name = f"{family}_tiny"
    values = {key: value for key, value in dataclasses.asdict(preset(name)).items() if key not in SET_BY}
    assert spec_fields(name, values) == values
    assert preset(name).override(**spec_fields(name, values)) == preset(name)


def test_values_from_the_command_line_and_from_json_have_the_types_of_the_spec():
    words = ["tubelet_size=1", "norm_eps=1", "attention_type=joint"]
    flags = [f"--config.model.spec.{word}" for word in words]
    config = read_config(["--config=configs/timesformer_k400.py", *flags])
    fields = spec_fields(config.model.name, config.model.spec)
    assert fields == {"tubelet_size": 1, "norm_eps": 1.0, "attention_type": "joint"}
    assert type(fields["norm_eps"]) is float
    assert spec_fields("videomamba_ti", {"scan": None}) == {"scan": None}


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("videomae_base", {"tublet_size": 2}, "did you mean config.model.spec.tubelet_size?"),
        (
            "videomae_base",
            {"factorization": "encoder"},
            "config.model.spec.factorization belongs to ViViT; model.name=videomae_base is a VideoMAE; "
            "leave factorization out",
        ),
        (
            "vivit_base",
            {"init_std": 0.1},
            "belongs to TimeSformer and VideoMAE and VideoMamba and V-JEPA 2; model.name=vivit_base",
        ),
        ("vivit_base", {"num_frames": 8}, "config.model.spec.num_frames is set by config.data.num_frames; use that"),
        ("vivit_base", {"attention": "xla"}, "config.model.spec.attention is set by config.model.attention"),
        ("vivit_base", {"width": 1.5}, "config.model.spec.width=1.5 must be an integer"),
        ("vivit_base", {"width": True}, "config.model.spec.width=True must be an integer"),
        ("videomamba_ti", {"scan": 3}, "config.model.spec.scan=3 must be text"),
    ],
)
def test_an_invalid_key_or_value_is_refused_with_the_remedy(name, values, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        spec_fields(name, values)


@pytest.mark.parametrize(
    ("name", "field", "value", "least"),
    [
        ("videomae_tiny", "patch_size", 0, 1),
        ("videomae_tiny", "depth", -1, 0),
        ("videomae_tiny", "decoder_mlp_dim", 0, 1),
        ("timesformer_tiny", "tubelet_size", 0, 1),
        ("videomamba_tiny", "state_size", 0, 1),
        ("vjepa2_tiny", "num_mask_tokens", 0, 1),
        ("vjepa2_tiny", "pooler_depth", -1, 0),
        ("vivit_tiny", "width", -1, 1),
    ],
)
def test_a_size_that_is_too_small_is_refused_with_its_name(name, field, value, least):
    with pytest.raises(ConfigError, match=f"^{field}={value} must be at least {least}$"):
        preset(name).override(**{field: value})


def test_a_family_of_a_user_may_have_sizes_of_several_stages_and_a_stack_without_layers():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Stages(ClipSpec):
        depth: tuple[int, ...] = (2, 2)
        mlp_dim: int | None = None

        def classifier_macs(self, num_classes):
            return 0

    assert Stages().depth == (2, 2)
    assert preset("videomae_tiny").override(decoder_depth=0).decoder_depth == 0


def test_every_size_belongs_to_a_spec():
    specs = [family.specs["tiny"] for family in FAMILIES.values()] + [
        *VIDEOPRISM_TEXT_SPECS.values(), *CLIP_TEXT_SPECS.values(), *GPT2_SPECS.values()
    ]  # fmt: skip
    assert all(any(hasattr(spec, name) for spec in specs) for name in (*SIZES, *DEPTHS))


def test_a_section_other_than_spec_takes_no_new_keys():
    for word, near in (("modle.name", "model.name"), ("model.nam", "model.name"), ("data.rot", "data.root")):
        with pytest.raises(ConfigError, match=f"did you mean config.{near}"):
            read_config(["--config=configs/videomae_k400.py", f"--config.{word}=x"])
