"""Kernels' cycles from a dump of schedules, written by hand in the compiler's format, and once by the compiler."""

import importlib.util
import os
import subprocess
import sys

import pytest

from vidjax.aot.bundles import dump_flags, kernel_cycles, schedule_cycles

# A grid of 6 in a pipeline of three stages; in it a loop from 1 to 8, in that a loop of 4; then one of 5; a loop of 3
# that the compiler has removed.
ORIGINAL = """
    loop: start=0, step=1, limit=8
      %s3 = sphi 0, %s4 /* iteration index, stage = 0 */
      %s5 = ssub.s32 %s3, 2 /* iteration index, stage = 2 */
        loop: start=0, step=1, limit=3
        loop: start=1, step=1, limit=9
          loop: start=0, step=2, limit=8
        loop: start=0, step=1, limit=5
"""
BUNDLES = """
LB: loop body

     0   :  { %s0 = inlined_call_operand.hbm [shape: bf16[8]] } /* Start region 1 */
   0x1   :  { %s1 = smov 0 /* copy for cssa */ }
   0x2 LB: > { %s2 = sphi %s1, %s3 } /* Start region 70 :: Start region 2 */
   0x3   :  {} /* End region 2 */
   0x4   : > { %5 = sbr.rel (!%p7_p1) target = $region9 }
   0x5 LB: >> { %s6 = sphi %s1, %s7 } /* Start region 71 */
   0x6 LB: >>> { %v8 = vadd.f32 %v1, %v2 } /* Start region 72 :: Start region 4 */
   0x7   : >>> { %p20_p3 = scmp.ge.s32.totalorder %s9, 8 /* loop exit test */  ;;  %s9 = sadd.s32 2, %s8 }
   0x8   : >>> { %p21_p4 = scmp.ge.s32.totalorder (%p20_p3), %s7, 9 /* loop exit test */ }
   0x9   : > { %9 = sbr.rel (!%p20_p3) target = $region72  ;;  %v9 = vmul.f32 (%p20_p3), %v1, %v2 }
   0xa   :  {} /* End region 72 :: End region 4 */
   0xb   : >> { %9 = sbr.rel (!%p21_p4) target = $region71 /*
hlo: kernel.1 */ } /* End region 71 */
   0xc LB: >> { %v10 = vadd.f32 %v1, %v2  ;;  %11 = sbr.rel (!%p30_p5) target = $region73 } /* Start region 73 */
   0xd   : >> { %p28_p6 = scmp.ge.s32.totalorder %s31_s32, 5 /* loop exit test */ }
   0xe   : >> { %30 = sbr.rel (!%p28_p6) target = $region73 } /* End region 73 */
   0xf   : > { %p27_p0 = scmp.ge.s32.totalorder %s30_s29, 8 /* loop exit test */ }
  0x10   : > { %29 = sbr.rel (!%p27_p0) target = $region70 }
  0x11   :  {}
  0x12   :  {} /* End region 70 */
  0x13   :  { %12 = vsyncpa [#allocation9], 1 }
"""
OUTSIDE, GRID, MIDDLE, INNER, LAST = 3, 3 + 4, 1 + 1, 5, 3
CYCLES = OUTSIDE + 6 * (GRID + 8 * (MIDDLE + 4 * INNER) + 5 * LAST)
NAMES = "key:{}\nordinal:7\nequivalent_hlos[size={}]:\n"


def dump(folder, time, kernel, twins=(), bundles=BUNDLES):
    names = NAMES.format(kernel, 1 + len(twins)) + "".join(f"  {name}\n" for name in (kernel, *twins))
    (folder / f"{time}-TLP-00-deduplication-map.txt").write_text(NAMES.format("copy", 1) + "  copy\n" + names)
    (folder / f"{time + 5}-{kernel}-00-original.txt").write_text(ORIGINAL)
    (folder / f"{time + 5}-{kernel}-01-schedule-analysis_final_bundles.txt").write_text("total scheduled bundles: 18")
    (folder / f"{time + 5}-{kernel}-02-final_bundles.txt").write_text(bundles)


def test_bundles_count_as_often_as_the_loops_around_them_run():
    assert schedule_cycles(ORIGINAL, BUNDLES) == CYCLES


def test_a_schedule_with_other_loops_is_unknown():
    assert schedule_cycles(ORIGINAL.replace("limit=9", "limit=7"), BUNDLES) is None
    assert schedule_cycles(ORIGINAL, "") is None


def test_a_trip_count_known_only_at_run_time_makes_the_time_unknown():
    """Counted once, it would look free."""
    assert schedule_cycles(ORIGINAL, BUNDLES.replace("%s31_s32, 5 /* loop", "%s31_s32, %s33 /* loop")) is None


def test_equal_kernels_share_a_schedule_and_only_the_last_program_counts(tmp_path):
    dump(tmp_path, 990, "old.1")
    dump(tmp_path, 1000, "kernel.1", ["kernel.2"])
    found = kernel_cycles(tmp_path, ["kernel.1", "kernel.2", "old.1", "other"])
    assert found == {"kernel.1": CYCLES, "kernel.2": CYCLES, "old.1": None, "other": None}


def test_a_repeated_name_has_its_newest_schedule(tmp_path):
    dump(tmp_path, 990, "kernel.1", bundles="     0   :  { nop }\n")
    dump(tmp_path, 1000, "kernel.1")
    assert kernel_cycles(tmp_path, ["kernel.1"]) == {"kernel.1": CYCLES}


def test_without_a_dump_nothing_is_known(tmp_path):
    assert kernel_cycles(tmp_path, ["kernel.1"]) == {"kernel.1": None}


KERNEL = """
import jax, jax.numpy as jnp
from jax.experimental import pallas as pl, topologies

def double(x, y):
    def once(i, _):
        y[i] = 2 * x[i]
    jax.lax.fori_loop(0, 20, once, None)

def twice(x):
    block = pl.BlockSpec((20, 8, 128), lambda n: (n, 0, 0))
    call = pl.pallas_call(double, grid=(50,), in_specs=[block], out_specs=block, out_shape=x, name="double")
    return call(call(x))

chip = topologies.get_topology_desc("v5e:1x1", "tpu", chips_per_host_bounds=(1, 1, 1)).devices[0]
x = jax.ShapeDtypeStruct((1000, 8, 128), jnp.float32, sharding=jax.sharding.SingleDeviceSharding(chip))
print(jax.jit(twice).trace(x).lower(lowering_platforms=("tpu",)).compile().as_text())
"""


@pytest.mark.aot
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler, is not installed")
def test_a_kernel_takes_about_a_cycle_for_every_load_and_store_of_a_loop(tmp_path):
    """1000 turns of one load and one store each, in two calls; the compiler may need a few bundles per turn."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "LIBTPU_INIT_ARGS": dump_flags(tmp_path)}
    environment |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    out = subprocess.run([sys.executable, "-c", KERNEL], env=environment, capture_output=True, text=True, check=True)
    names = [line.split("=")[0].split("%")[1].strip() for line in out.stdout.splitlines() if "tpu_custom_call" in line]
    assert len(names) == 2
    cycles = kernel_cycles(tmp_path, names)
    assert all(1000 <= cycles[name] <= 20_000 for name in names), cycles
