"""Compiling for chips that are not there: what it refuses, and (with libtpu) what it answers."""

import dataclasses
import importlib.util

import pytest

from vidjax.config import Config, DataConfig, MeshConfig, ModelConfig
from vidjax.errors import ConfigError
from vidjax.training import compiling

CONFIG = Config(
    model=ModelConfig("videomae_tiny", tubelet_size=2, patch_size=8),
    data=DataConfig(num_frames=4, image_size=64, global_batch=8),
)
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler, is not installed (extra aot)"
)


def steps_of(line, limit):
    """`compile_step` of a model whose need of memory is a line in the rows, and what was compiled."""
    tried = []

    def compile_step(config, topology):
        clips = config.data.global_batch
        tried.append(clips)
        needed = line(clips)
        fits = needed <= limit
        rest = dict.fromkeys(("temp_gb", "argument_gb", "estimated_ms"))
        return compiling.Compiled(
            topology,
            4,
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
    import jax

    monkeypatch.setattr(compiling, "topology_devices", lambda topology: jax.devices()[:1])
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


def test_a_model_too_large_for_one_row_is_told_so(four_chips):
    compile_step, _ = steps_of(lambda n: 20.0 * n, 15.0)
    four_chips.setattr(compiling, "compile_step", compile_step)
    with pytest.raises(
        ConfigError, match=r"not even one row a chip fits v5e:1x1: 20.0 GB of 16.9; use model.remat=full"
    ):
        compiling.largest_batch(CONFIG, "v5e:1x1")


@needs_libtpu
@pytest.mark.parametrize("topology", ["v5e", "v5e:", "v9:2x2", "v5e:3x7", "v5litepod-256"])
def test_an_unknown_topology_is_one_sentence(topology):
    with pytest.raises(ConfigError, match=f"topology '{topology}'"):
        compiling.topology_devices(topology)


@needs_libtpu
@pytest.mark.aot
@pytest.mark.slow
def test_more_chips_divide_the_state_and_add_communication():
    config = dataclasses.replace(CONFIG, mesh=MeshConfig(data=1, fsdp=-1, fsdp_min_size=1))
    one, eight = compiling.compile_step(config, "v5e:1x1"), compiling.compile_step(config, "v5e:2x4")
    assert one.fits
    assert eight.fits
    assert not one.collectives
    assert eight.collectives
    assert eight.argument_gb < one.argument_gb / 4
    assert eight.flops_per_clip == one.flops_per_clip
    assert one.ideal_ms == pytest.approx(8 * eight.ideal_ms)
    assert 0 < one.estimated_mfu < 1
