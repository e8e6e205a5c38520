"""Plans for a slice: which are tried, their order, and the message if none fits. No compiler is used."""

import dataclasses

import pytest
import saved_runs

from vidjax.aot.compiled import Compiled
from vidjax.aot.hlo import Collective
from vidjax.aot.planner import find_plans, remembered
from vidjax.cli import main
from vidjax.cli.verbs.compile import print_plans
from vidjax.config import with_keys
from vidjax.errors import ConfigError

CONFIG = saved_runs.make_config(
    data__global_batch=256, train__steps=0, train__epochs=10.0, model__remat="", model__unroll=0
)
OPEN = {"model.remat": "none", "model.unroll": 12}


class Chips:
    """A compiler whose programs take `held` GB of state, divided by fsdp, plus 4 GB, of 16 GB; 100 ms each.

    By default fsdp is 8; over more chips, a step gathers 1 GB in 10 ms, 6 of them hidden behind other work.
    """

    def __init__(self, held, chosen=None, rest=4.0):
        self.held, self.chosen, self.rest, self.asked = held, chosen or OPEN, rest, []

    def on(self, topology):
        sides = [int(side) for side in topology.partition(":")[2].split("x")]
        chips = sides[0] * sides[1]

        def compile_step(config):
            fsdp = config.mesh.fsdp or 8
            self.asked.append((topology, fsdp, config.train.accumulate, config.model.unroll))
            needed = self.held / fsdp + self.rest / (config.train.accumulate or 1)
            fits = needed <= 16
            sent = {"all-gather": Collective(1, int(1e9), 1e9)} if fsdp > 8 else {}
            milliseconds = (100.0, 0.0) if fits else (None, None)
            chosen = {
                key: value for key, value in self.chosen.items() if key != "model.unroll" or not config.model.unroll
            }
            return Compiled(
                topology,
                chips,
                {"data": chips // fsdp, "fsdp": fsdp, "tensor": 1},
                chosen,
                256,
                fits,
                needed,
                1.0 if fits else None,
                1e12,
                50.0,
                *milliseconds,
                0,
                sent,
                *((10.0, 4.0) if fsdp > 8 else (0.0, 0.0)),
            )

        return compile_step


def test_a_step_that_fits_without_recomputation_takes_one_compilation():
    chips = Chips(held=2.0)
    (plan,) = find_plans(CONFIG, "v5e:2x4", 2560, chips.on)
    assert len(chips.asked) == 1
    assert (plan.settings, plan.steps, plan.step_ms) == ({}, 100, 100.0)
    assert plan.hours == pytest.approx(100 * 0.1 / 3600)


def test_parameters_are_divided_over_all_chips_if_memory_is_short():
    chips = Chips(held=200.0)  # 25 GB on each of 8, 3.1 on each of 64
    (plan,) = find_plans(CONFIG, "v5e:8x8", 2560, chips.on)
    assert [fsdp for _, fsdp, *_ in chips.asked] == [8, 64]
    assert plan.settings == {"mesh.fsdp": 64}
    assert plan.step_ms == 104.0


@pytest.mark.parametrize("spared", [{"model.remat": "full"}, {"train.accumulate": 2}])
def test_saving_memory_is_compared_with_dividing_parameters_over_all_chips(spared):
    plans = find_plans(CONFIG, "v5e:4x4", 2560, Chips(held=2.0, chosen=OPEN | spared).on)
    assert [plan.settings for plan in plans] == [{}, {"mesh.fsdp": 16}]  # sending nothing is faster here


def test_nothing_else_is_tried_if_parameters_are_divided_over_all_chips():
    chips = Chips(held=2.0, chosen=OPEN | {"model.remat": "full"})
    (plan,) = find_plans(CONFIG, "v5e:2x4", 2560, chips.on)
    assert (plan.settings, len(chips.asked)) == ({}, 1)


def test_a_deep_stack_is_also_tried_without_its_loop():
    model = dataclasses.replace(CONFIG.model, name="videomae_large")
    chips = Chips(held=2.0, chosen=OPEN | {"model.remat": "full"})
    plans = find_plans(dataclasses.replace(CONFIG, model=model), "v5e:2x4", 2560, chips.on)
    assert {tuple(plan.settings.items()) for plan in plans} == {(), (("model.unroll", 24),)}
    assert [fsdp for _, fsdp, *_ in chips.asked] == [8, 8]  # its loop recomputes, but not for lack of memory


def test_keys_that_the_recipe_sets_are_not_varied():
    mesh = dataclasses.replace(CONFIG.mesh, fsdp=2)
    chips = Chips(held=200.0)
    with pytest.raises(ConfigError, match="fits v5e:2x4"):
        find_plans(dataclasses.replace(CONFIG, mesh=mesh), "v5e:2x4", 2560, chips.on)
    assert {fsdp for topology, fsdp, *_ in chips.asked if topology == "v5e:2x4"} == {2}


def test_a_slice_that_is_too_small_names_the_smallest_that_fits():
    with pytest.raises(ConfigError, match=r"fits v5e:2x4; the smallest .* v5e:4x4, with --config\.mesh\.fsdp=16"):
        find_plans(CONFIG, "v5e:2x4", 2560, Chips(held=150.0).on)
    with pytest.raises(ConfigError, match=r"step fits no larger slice of v5e either; use a smaller data\.global_batch"):
        find_plans(CONFIG, "v5e:2x4", 2560, Chips(held=1e6).on)


@pytest.mark.parametrize(("batch", "clips", "multiple"), [(24, 1, 16), (20, 2, 8)])
def test_a_batch_that_larger_slices_cannot_share_is_said_to_be_the_reason(batch, clips, multiple):
    config = with_keys(CONFIG, {"data.global_batch": batch, "data.clips_per_decode": clips})
    refused = rf"larger slice, v5e:4x4, was not tried, .* its 16 chips .* a multiple of {multiple}$"
    with pytest.raises(ConfigError, match=refused):
        find_plans(config, "v5e:2x4", 2560, Chips(held=1e6).on)


def test_results_in_a_file_are_not_compiled_again(tmp_path):
    chips, path = Chips(held=200.0), tmp_path / "plans.jsonl"

    def on(topology):
        return remembered(chips.on(topology), topology, path)

    first = find_plans(CONFIG, "v5e:8x8", 2560, on)
    count = len(chips.asked)
    assert find_plans(CONFIG, "v5e:8x8", 2560, on) == first
    assert len(chips.asked) == count
    other = dataclasses.replace(CONFIG, seed=CONFIG.seed + 1)
    find_plans(other, "v5e:8x8", 2560, on)
    assert len(chips.asked) == 2 * count


def test_the_table_shows_what_to_set_and_what_it_costs(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_plans(find_plans(CONFIG, "v5e:8x8", 25_600_000, Chips(held=200.0).on))
    printed = capsys.readouterr().out
    for words in ("--config.mesh.fsdp=64", "104.0", "48%", "2,462", "28.9", "1,849", "1,000,000 steps"):
        assert words in printed


def test_an_open_batch_must_be_set(capsys):
    assert main(["compile", "--plan", "--config=pretrain:base", "--topology=v5e:2x4", "--videos=10"]) != 0
    assert "--config.data.global_batch=N" in capsys.readouterr().err


def test_options_of_a_plan_need_one(capsys):
    assert main(["compile", "--config=pretrain:base", "--topology=v5e:2x4", "--videos=10"]) == 2
    assert "--videos and --results are for --plan" in capsys.readouterr().err


def test_the_length_of_a_recipe_needs_the_number_of_videos(capsys):
    assert main(["compile", "--plan", "--config=videomae_k400:base", "--topology=v5e:2x4"]) != 0
    assert "add --videos=N" in capsys.readouterr().err
