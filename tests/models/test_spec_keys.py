"""`config.model.spec`: any field of a family's spec can be set, and nothing else."""

import dataclasses

import pytest

from vidjax.errors import ConfigError
from vidjax.main import read_config
from vidjax.models import FAMILIES, preset
from vidjax.models.spec_keys import SET_BY, spec_fields


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


def test_a_section_other_than_spec_takes_no_new_keys():
    for word, near in (("modle.name", "model.name"), ("model.nam", "model.name"), ("data.rot", "data.root")):
        with pytest.raises(ConfigError, match=f"did you mean config.{near}"):
            read_config(["--config=configs/videomae_k400.py", f"--config.{word}=x"])
