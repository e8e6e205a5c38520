"""What chips send each other, and how much of it the schedule hides: hand-made programs in the compiler's format.

Times are for a v5e: 1.5 GHz, 100 GB/s between chips, 3.125 GB/s between slices.
"""

import re

import pytest

from vidjax.aot.collectives import message_of
from vidjax.aot.hlo import Program
from vidjax.aot.overlap import communication
from vidjax.aot.topology import CHIPS


def program(entry, computations="", chips=8):
    return Program(f"""HloModule jit_step, is_scheduled=true, num_partitions={chips}, frontend_attributes={{}}

{computations}

ENTRY %main.0_spmd (x: bf16[8]) -> bf16[8] {{
{entry}
}}
""")


def times(found, kernels=None):
    """Milliseconds of all communication, and of waiting for it."""
    sent = communication(found, CHIPS["v5e"], kernels or {})
    return 1e3 * sent.alone, 1e3 * sent.waited


def work(milliseconds, name="product"):
    cycles = round(1.5e6 * milliseconds)
    return (
        f"  %{name} = bf16[32,160,768]{{2,1,0:T(8,128)(2,1)}} fusion(%x), kind=kOutput, calls=%multiplied, "
        f'backend_config={{"window_config":{{"estimated_cycles":"{cycles}"}}}}'
    )


GROUPS = {
    "replica_groups={{0,1,2,3,4,5,6,7}}": 8,
    "replica_groups={{0,8},{1,9},{2,10}}": 2,
    "replica_groups=[8,4]<=[32]": 4,
    "replica_groups=mesh['axis_0'=8,'axis_1'=1,'axis_2'=1] {'axis_0','axis_1'}": 8,
    "replica_groups=mesh['axis_0'=1,'axis_1'=16,'axis_2'=1,'axis_3'=4], device_ids=([4,16]T(1,0)) {'axis_1'}": 16,
    "replica_groups={}": 64,
}


@pytest.mark.parametrize("groups", GROUPS)
def test_a_ring_sends_by_the_size_of_its_group_however_that_is_written(groups):
    size, array = GROUPS[groups], "bf16[1024,512]{1,0:T(8,128)(2,1)S(1)}"

    def sent(kind):
        found = message_of(f"  %c.1 = {array} {kind}(%x), channel_id=2, {groups}, use_global_device_ids=true", 64)
        assert (found.kind, found.bytes) == (kind, 2**20)
        return found.sent

    assert sent("all-gather") == pytest.approx(2**20 * (size - 1) / size)
    assert sent("all-reduce") == pytest.approx(2 * 2**20 * (size - 1) / size)
    assert sent("reduce-scatter") == pytest.approx(2**20 * (size - 1))  # its result is one part of so many
    assert sent("collective-permute") == 2**20


def test_a_fused_reduce_scatter_has_the_groups_of_the_all_reduce_in_it():
    found = program(
        "  %part = bf16[128,512]{1,0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.2",
        """%all-reduce-scatter.2 (p: bf16[512,512]) -> bf16[128,512] {
  %whole = bf16[512,512]{1,0} all-reduce(%p), channel_id=1, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  ROOT %part = bf16[128,512]{1,0} dynamic-slice(%whole, %place), dynamic_slice_sizes={128,512}
}""",
    )
    (kind,) = found.collectives
    assert kind == "reduce-scatter"
    assert found.collectives[kind].sent == pytest.approx(3 * 128 * 512 * 2)


def test_a_blocking_collective_is_waited_for_in_full():
    found = program(f"{work(5)}\n  %sum = bf16[1000,50000]{{1,0}} all-reduce(%product), channel_id=1, to_apply=%add")
    assert times(found) == pytest.approx((1.75, 1.75))  # 100 MB, 2 * 7/8 of them over 100 GB/s


@pytest.mark.parametrize(("between", "waited"), [(0.25, 1.5), (1.0, 0.75), (3.0, 0.0)])
def test_a_started_collective_runs_during_the_work_before_its_end(between, waited):
    found = program(f"""{work(9, "before")}
  %begun = bf16[1000,50000]{{1,0}} all-reduce-start(%before), channel_id=1, to_apply=%add
{work(between)}
  %sum = bf16[1000,50000]{{1,0}} all-reduce-done(%begun)
{work(9, "after")}""")
    assert times(found) == pytest.approx((1.75, waited))


@pytest.mark.parametrize(
    ("kind", "shape", "sent"),
    [
        ("all-reduce", "(bf16[8,64]{1,0}, bf16[8,64]{1,0})", 2 * 2 * 7 / 8 * 1024),
        ("all-gather", "((bf16[8]{0}, bf16[16]{0}), (bf16[64]{0}, bf16[128]{0}))", 7 / 8 * 2 * (64 + 128)),
        ("reduce-scatter", "((bf16[64]{0}), bf16[8]{0})", 7 * 2 * 8),
        ("collective-permute", "(bf16[64]{0}, bf16[64]{0}, u32[]{:S(2)}, u32[]{:S(2)})", 2 * 64),
        ("collective-permute", "(f32[1]{0}, f32[1]{0}, u32[]{:S(2)}, u32[]{:S(2)})", 4),
    ],
)
def test_a_started_collective_sends_its_results_however_they_are_listed(kind, shape, sent):
    """The forms of XLA's shape inference: an all-reduce has results alone, the others operands and then results."""
    (message,) = program(f"  %begun = {shape} {kind}-start(%x), channel_id=1").collectives.values()
    assert message.sent == pytest.approx(sent)


def test_two_arrays_on_the_same_links_go_one_after_the_other():
    starts = "\n".join(
        f"  %s{n} = (bf16[125,50000]{{1,0}}, bf16[1000,50000]{{1,0}}) all-gather-start(%x), channel_id={n}"
        for n in (1, 2)
    )
    ends = "\n".join(f"  %d{n} = bf16[1000,50000]{{1,0}} all-gather-done(%s{n})" for n in (1, 2))
    assert times(program(f"{starts}\n{work(1.0)}\n{ends}")) == pytest.approx((1.75, 0.75))


def test_a_kernel_hides_what_runs_beside_it_if_its_time_is_known():
    found = program("""  %s = (bf16[125,50000]{1,0}, bf16[1000,50000]{1,0}) all-gather-start(%x), channel_id=1
  %attention.3 = bf16[8]{0} custom-call(%x), custom_call_target="tpu_custom_call"
  %d = bf16[1000,50000]{1,0} all-gather-done(%s)""")
    assert times(found, {"attention.3": 0.5e-3}) == pytest.approx((0.875, 0.375))
    assert times(found) == pytest.approx((0.875, 0.875))


GATHER = (
    "bf16[1000,50000]{{1,0:T(8,128)(2,1)}} all-gather(%p{n}), channel_id=2, dimensions={{0}}, "
    'frontend_attributes={{chain_id="0"}}'
)
CARRIED = f"""%fused_computation.67 (p1: bf16[125,50000]) -> (bf16[125,50000], bf16[1000,50000], u32[]) {{
  %p1 = bf16[125,50000]{{1,0:T(8,128)(2,1)S(1)}} parameter(0)
  %all-gather.21 = {GATHER.format(n=1)}
  ROOT %custom-call.1 = (bf16[125,50000]{{1,0}}, u32[]{{:S(2)}}) custom-call(%all-gather.21), custom_call_target="AsyncCollectiveStart"
}}

%async_collective_fusion.70 (p2: bf16[125,50000], y: bf16[32,160,768]) -> (bf16[32,160,3072], bf16[1000,50000]) {{
  %convolution.31 = bf16[32,160,3072]{{2,1,0}} convolution(%y, %w), dim_labels=0bf_io0->0bf
  %all-gather.23 = {GATHER.format(n=2)}
  ROOT %tuple.11 = (bf16[32,160,3072]{{2,1,0}}, bf16[1000,50000]{{1,0}}) tuple(%convolution.31, %all-gather.23)
}}

%fused_computation.69 (p3: bf16[125,50000], whole: bf16[1000,50000]) -> bf16[1000,50000] {{
  %all-gather.25 = {GATHER.format(n=3)}
  ROOT %custom-call.3 = bf16[1000,50000]{{1,0}} custom-call(%p3, %whole, %all-gather.25), custom_call_target="AsyncCollectiveDone"
}}"""  # noqa: E501  as the compiler writes it
CARRIER = (
    "  %fusion.70 = (bf16[32,160,3072]{2,1,0}, bf16[1000,50000]{1,0}) fusion(%begun, %y), kind=kOutput, "
    'calls=%async_collective_fusion.70, backend_config={"window_config":{"estimated_cycles":"450000"}}'
)


def test_a_collective_that_the_core_carries_on_advances_only_in_fusions_that_hold_it():
    """0.875 ms, of which 0.3 pass in the fusion that carries it on and none in the other work."""
    found = program(
        f"""  %begun = (bf16[125,50000]{{1,0}}, u32[]{{:S(2)}}) fusion(%x), kind=kCustom, calls=%fused_computation.67
{work(5)}
{CARRIER}
  %whole = bf16[1000,50000]{{1,0}} fusion(%fusion.70), kind=kCustom, calls=%fused_computation.69""",
        CARRIED,
    )
    assert times(found) == pytest.approx((0.875, 0.575))
    assert found.collectives["all-gather"].calls == 1


def test_separately_carried_collectives_of_one_channel_are_two():
    """As for collectives that a program requests itself: JAX gives them all the same channel."""
    both = CARRIED + "\n\n" + re.sub(r"%(\w*fus\w*)\.(\d+) \(", r"%\1.9\2 (", CARRIED).replace('id="0"', 'id="1"')
    chains = [
        f"""  %begun = (bf16[125,50000]{{1,0}}, u32[]{{:S(2)}}) fusion(%x), kind=kCustom, calls=%fused_computation.{n}67
{CARRIER.replace("collective_fusion.70", f"collective_fusion.{n}70")}
  %whole = bf16[1000,50000]{{1,0}} fusion(%fusion.70), kind=kCustom, calls=%fused_computation.{n}69"""
        for n in ("", "9")
    ]
    found = program("\n".join(chains), both)
    assert found.collectives["all-gather"].calls == 2
    assert times(found) == pytest.approx((2 * 0.875, 2 * 0.575))


LOOP = """%body (state: (s32[], bf16[8])) -> (s32[], bf16[8]) {
INNER
}"""


def test_a_loop_waits_as_often_as_it_runs():
    inner = f"""{work(0.5)}
  %sum = bf16[1000,5000]{{1,0}} all-reduce(%product), channel_id=1, to_apply=%add"""
    loop = (
        "  %loop = (s32[], bf16[8]{0}) while(%init), condition=%condition, body=%body, "
        'backend_config={"known_trip_count":{"n":"12"}}'
    )
    assert times(program(loop, LOOP.replace("INNER", inner))) == pytest.approx((12 * 0.175, 12 * 0.175))


MEGASCALE = '_xla_host_transfer_handler_name="xla_megascale_runtime",_xla_host_transfer_rendezvous="all-reduce.1_0"'
OTHER_SLICES = (
    f'{MEGASCALE},_xla_megascale_reduce_operation="SUM",_xla_megascale_target="{{1,2}}x{{0:7}}",'
    '_xla_megascale_transfer_type="ALL_REDUCE"'
)
SLICES = """  %send = (bf16[128,5000]{{1,0}}, u32[], token[]) send(%part, %token), channel_id=2, is_host_transfer=true, frontend_attributes={{{attributes}}}
  %recv = (bf16[128,5000]{{1,0}}, u32[], token[]) recv(%token), channel_id=1, is_host_transfer=true, frontend_attributes={{{attributes}}}
{between}
  %send-done = token[] send-done(%send), channel_id=2, is_host_transfer=true
  %recv-done = (bf16[128,5000]{{1,0}}, token[]) recv-done(%recv), channel_id=1, is_host_transfer=true"""  # noqa: E501  as the compiler writes it


def test_the_network_between_slices_is_slower_and_runs_beside_the_links_within_one():
    """1.28 MB over 3.125 GB/s; 0.175 ms of another collective's waiting pass meanwhile."""
    other = "  %sum = bf16[1000,5000]{1,0} all-reduce(%x), channel_id=9, to_apply=%add"
    found = program(SLICES.format(attributes=OTHER_SLICES, between=f"{work(0.1)}\n{other}"))
    alone = 1e3 * 128 * 5000 * 2 / 3.125e9
    assert found.collectives["between slices"].calls == 1
    assert found.collectives["between slices"].sent == 128 * 5000 * 2  # two slices: 2 (2 - 1) / 2
    assert times(found) == pytest.approx((alone + 0.175, alone - 0.1))
