"""Reading compiled programs: loops, fusions, collectives. Programs are written by hand in the compiler's format."""

import pytest

from vidjax.aot.hlo import Collective, Kernel, Program

LOOP = """
HloModule jit_step

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  ROOT %sum = f32[] add(%a, %b)
}

%fused (p: f32[8,128]) -> f32[8,128] {
  %p = f32[8,128]{1,0} parameter(0)
  ROOT %twice = f32[8,128]{1,0} multiply(%p, %p), backend_config={"estimated_cycles":"999"}
}

%body (state: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %state = (s32[], f32[8,128]{1,0}) parameter(0)
  %x = f32[8,128]{1,0} get-tuple-element(%state), index=1
  %y = f32[8,128]{1,0} fusion(%x), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"100"}
  %kernel = f32[8,128]{1,0} custom-call(%y), custom_call_target="tpu_custom_call"
  %sum = f32[8,128]{1,0} all-reduce(%kernel), replica_groups={{0,1}}, to_apply=%add
  ROOT %next = (s32[], f32[8,128]{1,0}) tuple(%i, %sum)
}

%condition (state: (s32[], f32[8,128])) -> pred[] {
  %limit = s32[] constant(12)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

ENTRY %main (x: f32[8,128]) -> f32[8,128] {
  %x = f32[8,128]{1,0} parameter(0)
  %start = (bf16[2,128]{1,0}, bf16[8,128]{1,0}) all-gather-start(%x), dimensions={0}
  %gathered = bf16[8,128]{1,0} all-gather-done(%start), backend_config={"estimated_cycles":"7"}
  ROOT %loop = (s32[], f32[8,128]{1,0}) while(%init), condition=%condition, body=%body
}
"""


def test_a_loop_counts_as_often_as_it_runs_and_a_fusion_once():
    assert Program(LOOP).estimated_cycles == 12 * 100 + 7


def test_collectives_count_what_they_produce_and_what_a_chip_sends_for_it():
    """The all-reduce runs over pairs, the all-gather, which names no groups, over the four chips of the program."""
    four = LOOP.replace("HloModule jit_step", "HloModule jit_step, num_partitions=4")
    assert Program(four).collectives == {
        "all-gather": Collective(1, 8 * 128 * 2, 0.75 * 8 * 128 * 2),
        "all-reduce": Collective(12, 12 * 8 * 128 * 4, 12 * 8 * 128 * 4),
    }


def test_a_kernel_is_counted_as_often_as_it_runs_and_moves_what_it_reads_and_writes():
    assert Program(LOOP).kernels == {"kernel": Kernel(calls=12, bytes=2 * 8 * 128 * 4)}


def test_instructions_after_multi_line_attributes_are_read():
    """As in JAX's splash-attention kernels, whose metadata ends in a line that begins with two braces."""
    attributes = (
        'custom_call_target="tpu_custom_call", frontend_attributes={kernel_metadata={\n"a":"{}"\n}}, metadata={}'
    )
    program = Program(LOOP.replace('custom_call_target="tpu_custom_call"', attributes))
    assert program.kernels == Program(LOOP).kernels
    assert program.collectives == Program(LOOP).collectives


def test_a_kernel_moves_nothing_for_an_array_that_lies_in_the_core():
    placed = LOOP.replace("%y = f32[8,128]{1,0}", "%y = f32[8,128]{1,0:T(8,128)S(1)}")
    several = placed.replace("%kernel = f32[8,128]{1,0}", "%kernel = (bf16[16,128]{1,0:T(8,128)}, f32[8]{0:T(8)S(1)})")
    assert Program(several).kernels == {"kernel": Kernel(calls=12, bytes=16 * 128 * 2)}


@pytest.mark.parametrize("times", [1, 5])
def test_a_trip_count_that_the_compiler_knows_wins(times):
    told = f'body=%body, backend_config={{"known_trip_count":{{"n":"{times}"}}}}'
    known = LOOP.replace("body=%body", told)
    assert Program(known).estimated_cycles == times * 100 + 7


BESIDE = """HloModule jit_step, num_partitions=4

%carried (p: bf16[2,128]) -> bf16[8,128] {
  ROOT %one = bf16[8,128]{1,0} all-gather(%p), channel_id=5, dimensions={0}
}

%ended (p: bf16[2,128]) -> bf16[8,128] {
  ROOT %again = bf16[8,128]{1,0:S(1)} all-gather(%p), channel_id=5, dimensions={0}
}

%all-reduce-scatter.7 (p: bf16[8,128]) -> bf16[2,128] {
  %whole = bf16[8,128]{1,0} all-reduce(%p), channel_id=6, to_apply=%add
  ROOT %part = bf16[2,128]{1,0} dynamic-slice(%whole, %place), dynamic_slice_sizes={2,128}
}

ENTRY %main (x: bf16[2,128]) -> bf16[8,128] {
  %x = bf16[2,128]{1,0} parameter(0)
  %scattered = bf16[2,128]{1,0} fusion(%a), kind=kCustom, calls=%all-reduce-scatter.7
  %a = bf16[8,128]{1,0} fusion(%x), kind=kCustom, calls=%carried
  %other = bf16[16,128]{1,0} all-gather(%x), channel_id=5, dimensions={0}
  ROOT %b = bf16[8,128]{1,0} fusion(%x), kind=kCustom, calls=%ended
}
"""


def test_a_collective_in_its_start_and_end_fusions_counts_once_and_a_fused_reduce_scatter_is_not_an_all_reduce():
    assert Program(BESIDE).collectives == {
        "all-gather": Collective(2, (8 + 16) * 128 * 2, 0.75 * (8 + 16) * 128 * 2),
        "reduce-scatter": Collective(1, 2 * 128 * 2, 3 * 2 * 128 * 2),
    }
