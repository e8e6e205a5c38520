"""Choices by platform: the compute dtype, loops over layers, and what is recomputed in them."""

import pytest
import saved_runs

from vidjax.models import preset
from vidjax.training.choices.platform import choose_by_platform, remat_choices

OPEN = {"model__dtype": "", "model__unroll": 0, "model__remat": ""}


@pytest.mark.parametrize(("platform", "dtype"), [("cpu", "float32"), ("gpu", "bfloat16"), ("tpu", "bfloat16")])
def test_accelerators_compute_in_bfloat16(platform, dtype):
    assert choose_by_platform(saved_runs.make_config(**OPEN), platform).model.dtype == dtype


@pytest.mark.parametrize(
    ("name", "spec", "loop"),
    [("videomae_base", {}, False), ("videomae_large", {}, False), ("videomae_huge", {}, True),
     ("videomae_base", {"depth": 40}, True), ("timesformer_base", {}, False), ("vivit_base", {}, False),
     ("vivit_large_fe", {}, True), ("videomamba_middle", {}, False), ("videomamba_middle", {"depth": 40}, True)],
)  # fmt: skip
def test_on_a_tpu_a_stack_has_a_loop_where_it_is_long_to_compile(name, spec, loop):
    model = choose_by_platform(saved_runs.make_config(**OPEN, model__name=name, model__spec=spec), "tpu").model
    depth = spec.get("depth", preset(name).depth)
    assert (model.unroll < depth) == loop


@pytest.mark.parametrize(("task", "loop"), [("feature_prediction", True), ("self_distillation", False)])
def test_feature_prediction_has_several_stacks_to_compile_and_so_a_loop(task, loop):
    config = saved_runs.make_config(**OPEN, model__name="timesformer_base", task=task)
    assert (choose_by_platform(config, "tpu").model.unroll < 12) == loop


@pytest.mark.parametrize(
    ("name", "unroll", "kept"),
    [("videomae_huge", 0, ("full",)), ("vivit_large_fe", 0, ("attention", "full")),
     ("videomamba_middle", 1, ("scans", "full")), ("videomamba_middle", 0, ("none", "dots", "scans", "full"))],
)  # fmt: skip
def test_a_tpu_keeps_what_costs_more_to_recompute_where_memory_allows(name, unroll, kept):
    config = choose_by_platform(saved_runs.make_config(**OPEN | {"model__unroll": unroll}, model__name=name), "tpu")
    assert remat_choices(config, "tpu") == kept
    assert config.model.remat == ("" if len(kept) > 1 else "full")


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_elsewhere_a_base_model_has_a_loop_and_memory_decides_what_it_keeps(platform):
    model = choose_by_platform(saved_runs.make_config(**OPEN, model__name="videomae_base"), platform).model
    assert model.unroll < 12
    assert model.remat == ""


@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_what_the_user_sets_stays_on_any_platform(platform):
    config = saved_runs.make_config(model__dtype="float32", model__unroll=2, model__remat="none")
    assert choose_by_platform(config, platform) == config
