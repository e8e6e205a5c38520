"""Compiling for chips that are not attached: what it refuses, and (with libtpu) what it returns."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jax
import pytest

from vidjax.aot import compile_step as compiling
from vidjax.aot import compiled as describing
from vidjax.aot import llo_dump
from vidjax.aot.hlo import Kernel
from vidjax.cli.verbs import compile as cli
from vidjax.config import Config, DataConfig, MeshConfig, ModelConfig
from vidjax.errors import ConfigError
from vidjax.tasks import build_objective
from vidjax.training.mesh import check_rows, make_mesh

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

CONFIG = Config(
    model=ModelConfig("videomae_tiny", {"tubelet_size": 2, "patch_size": 8}),
    data=DataConfig(num_frames=4, image_size=64, global_batch=8),
)
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler, is not installed (extra aot)"
)


def steps_of(line, limit):
    """`compile_step` of a model whose memory is linear in the rows, which records what was compiled."""
    tried = []

    def compile_step(config, topology, dump=None):
        clips = config.data.global_batch
        tried.append(clips)
        needed = line(clips)
        fits = needed <= limit
        rest = dict.fromkeys(("argument_gb", "estimated_ms", "kernel_ms", "communication_ms", "waited_ms"))
        return describing.Compiled(
            topology,
            4,
            {},
            {},
            clips,
            fits,
            needed_gb=needed,
            flops_per_clip=1.0,
            ideal_ms=1.0,
            kernels=0,
            collectives={},
            **rest,
        )

    return compile_step, tried


@pytest.fixture
def four_chips(monkeypatch):
    monkeypatch.setattr(compiling, "topology_devices", lambda topology, slices: jax.devices()[:1])
    return monkeypatch


@pytest.mark.parametrize(
    ("line", "best"), [(lambda n: 1.0 + 0.1 * n, 159), (lambda n: 0.5 + 1.3 * n, 12), (lambda n: 16.0 * n, 1)]
)
def test_the_largest_batch_is_found_in_few_compilations(four_chips, line, best):
    limit = compiling.CHIPS["v5e"].memory / 1e9
    compile_step, tried = steps_of(line, limit)
    four_chips.setattr(compiling, "compile_step", compile_step)
    found = compiling.largest_batch(CONFIG, "v5e:1x1")
    assert found.fits
    assert best - best // 16 <= found.clips <= best
    assert len(tried) <= 5


def test_the_largest_batch_holds_whole_groups_of_mixed_rows(four_chips):
    compile_step, tried = steps_of(lambda n: n, 100.0)
    four_chips.setattr(compiling, "compile_step", compile_step)
    data = dataclasses.replace(CONFIG.data, mixup=0.8, mix_group=12, clips_per_decode=2, num_classes=3)
    found = compiling.largest_batch(dataclasses.replace(CONFIG, task="classification", data=data), "v5e:1x1")
    assert all(videos * 2 % 12 == 0 for videos in tried)
    assert 90 <= found.clips <= 100


def test_the_largest_batch_keeps_mixed_pairs_within_micro_batches(four_chips):
    compile_step, tried = steps_of(lambda n: n, 100.0)
    four_chips.setattr(compiling, "compile_step", compile_step)
    data = dataclasses.replace(CONFIG.data, mixup=0.8, num_classes=3)
    train = dataclasses.replace(CONFIG.train, accumulate=3)
    found = compiling.largest_batch(
        dataclasses.replace(CONFIG, task="classification", data=data, train=train), "v5e:1x1"
    )
    for videos in tried:
        check_rows(make_mesh(MeshConfig(), jax.devices()[:1]), videos, 1, 3, pairs=True)
    assert found.fits


def test_a_model_too_large_for_one_row_is_refused(four_chips):
    compile_step, _ = steps_of(lambda n: 20.0 * n, 15.0)
    four_chips.setattr(compiling, "compile_step", compile_step)
    with pytest.raises(
        ConfigError, match=r"the smallest batch fits v5e:1x1: it needs 20.0 GB of a chip's 16.9; use model.remat=full"
    ):
        compiling.largest_batch(CONFIG, "v5e:1x1")


@pytest.mark.parametrize(
    ("message", "needed"),
    [  # what the compiler says when it has placed every buffer, and when it gives up before
        ("Ran out of memory in memory space hbm. Used 20.12G of 15.75G hbm. Exceeded hbm capacity by 4.37G.", 21.6),
        pytest.param(
            "Ran out of memory on HBM, the total memory required for HLO temporaries (17.06G) exceeds available",
            18.3,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_step_that_does_not_fit_says_how_much_it_needs(four_chips, message, needed):
    class Lowered:
        def compile(self):
            raise jax.errors.JaxRuntimeError(f"RESOURCE_EXHAUSTED: {message}")

    four_chips.setattr(compiling, "lower_step", lambda config, step, mesh: Lowered())
    step = compiling.compile_step(CONFIG, "v5e:1x1")
    assert not step.fits
    assert step.needed_gb == pytest.approx(needed, abs=0.05)


@needs_libtpu
@pytest.mark.parametrize("topology", ["v5e", "v5e:", "v9:2x2", "v5e:3x7", "v5litepod-256"])
def test_an_unknown_topology_is_refused_in_one_sentence(topology):
    with pytest.raises(ConfigError, match=f"topology '{topology}'"):
        compiling.topology_devices(topology)


@needs_libtpu
@pytest.mark.aot
@pytest.mark.slow
def test_more_chips_divide_the_state_and_add_communication():
    model = dataclasses.replace(CONFIG.model, attention="xla")  # no kernels: their time is tested elsewhere
    config = dataclasses.replace(CONFIG, model=model, mesh=MeshConfig(data=1, fsdp=-1, fsdp_min_size=1))
    one, eight = compiling.compile_step(config, "v5e:1x1"), compiling.compile_step(config, "v5e:2x4")
    assert one.fits
    assert eight.fits
    assert not one.collectives
    assert eight.collectives
    # An eighth of the values, but in a model this small half of the bytes pad the tiles of 8 x 128 that they lie in.
    assert eight.argument_gb < one.argument_gb / 3
    assert eight.flops_per_clip == one.flops_per_clip
    assert one.ideal_ms == pytest.approx(8 * eight.ideal_ms)
    assert one.estimated_mfu == pytest.approx(one.ideal_ms / one.estimated_ms)
    assert 0 < one.estimated_mfu < 1


@needs_libtpu
@pytest.mark.aot
@pytest.mark.slow
def test_each_chip_sends_its_part_of_the_gradients_to_the_other_slice():
    model = dataclasses.replace(CONFIG.model, attention="xla")
    data = dataclasses.replace(CONFIG.data, global_batch=16)
    config = dataclasses.replace(CONFIG, model=model, data=data, mesh=MeshConfig(fsdp=1, slices=2))
    mesh = compiling.mesh_for(config, "v5e:2x4")
    assert [device.slice_index for device in mesh.devices.flat] == [0] * 8 + [1] * 8  # data's outer half each
    step = compiling.compile_step(config, "v5e:2x4")
    shapes = jax.eval_shape(lambda: build_objective(config, 1).init(jax.random.key(0), {})[0])
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert step.chips == 16
    # A gradient has 2 or 4 bytes, and each chip sends an eighth; the compiler may pad small ones or send them whole.
    assert 2 * parameters / 8 < step.collectives["between slices"].sent < 4 * parameters
    assert 0 < step.waited_ms <= step.communication_ms


@needs_libtpu
@pytest.mark.aot
@pytest.mark.slow
def test_the_time_of_kernels_is_in_the_answer_and_in_the_share_of_the_peak(tmp_path):
    command = [
        sys.executable, "-m", "vidjax.cli", "compile", "--json", "--topology=v5e:1x1",
        f"--config={CONFIGS / 'videomae_k400.py'}:small",
        "--config.data.global_batch=1", "--config.data.image_size=112",
    ]  # fmt: skip
    environment = os.environ | {"TMPDIR": str(tmp_path), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    answer = json.loads(found.stdout)
    assert answer["kernels"] == 8  # of 4 decoder layers, forward and backward; the encoder's 32 tokens need none
    # A product of matrices at the peak is the least that they can take.
    assert answer["kernel_ms"] > 1e3 * 4 * 7 * 2 * 3 * 392**2 * 64 / 197e12
    share = answer["ideal_ms"] / (answer["estimated_ms"] + answer["kernel_ms"])
    assert answer["estimated_mfu"] == pytest.approx(share)
    assert not list(tmp_path.glob("vidjax-*"))  # schedules are large


@pytest.mark.parametrize(
    ("cycles", "moved", "milliseconds"),
    [(3_000_000, 8_190_000, 4 * 2.0), (3_000_000, 8_190_000_000, 4 * 10.0), (None, 8_190_000, None)],
)
def test_a_kernel_takes_its_schedule_or_its_bytes_whichever_is_longer(
    monkeypatch, tmp_path, cycles, moved, milliseconds
):
    """On a v5e, with 1.5 GHz and 819 GB/s; a schedule that does not give the time does not count as zero."""
    monkeypatch.setattr(describing.bundles, "kernel_cycles", lambda folder, names: dict.fromkeys(names, cycles))
    kernels = {"kernel.1": Kernel(calls=3, bytes=moved), "kernel.2": Kernel(calls=1, bytes=moved)}
    seconds = describing._kernel_seconds(kernels, tmp_path, compiling.CHIPS["v5e"])
    found = describing._kernel_ms(kernels, seconds)
    assert found == (None if milliseconds is None else pytest.approx(milliseconds))


def test_schedules_are_requested_only_from_a_compiler_that_supports_them(monkeypatch, tmp_path):
    """An unknown flag would end the process, so a compiler that lacks it must not receive it."""

    def dies(command, **_):
        raise subprocess.CalledProcessError(1, command, stderr=b"ERROR: Unknown command line flag 'xla_jf_dump_to'")

    monkeypatch.setattr(subprocess, "run", dies)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--xla_other=1")
    assert llo_dump.ask() is None
    assert os.environ["LIBTPU_INIT_ARGS"] == "--xla_other=1"
    assert not list(tmp_path.iterdir())


def compiled(**fields):
    known = {
        "topology": "v5e:1x1", "chips": 1, "mesh": {}, "chosen": {}, "clips": 32, "fits": True, "argument_gb": 1.0,
        "needed_gb": 2.0, "flops_per_clip": 1e9, "ideal_ms": 33.0, "estimated_ms": 90.0, "kernel_ms": 20.0,
        "kernels": 48, "collectives": {}, "communication_ms": 0.0, "waited_ms": 0.0,
    }  # fmt: skip
    return describing.Compiled(**known | fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ["90.0 ms without kernels", "20.0 ms, 48 calls", "30%", "includes the kernels"]),
        ({"kernel_ms": None}, ["without kernels", "unknown time, 48 calls", "share of the peak are unknown"]),
        ({"kernels": 0, "kernel_ms": 0.0}, ["90.0 ms\n", "37%"]),
        ({"communication_ms": 8.0, "waited_ms": 5.0}, ["8.0 ms, of which 3.0 overlap other work", "29%"]),
    ],
)
def test_the_text_gives_the_time_of_kernels_or_says_that_it_is_unknown(fields, told, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    cli.print_compiled(compiled(**fields), None)
    printed = capsys.readouterr().out
    shown = "\n".join(line.rstrip() for line in printed.splitlines())
    assert all(words in shown for words in told)
    assert ("unknown" in shown) == (compiled(**fields).estimated_mfu is None)
