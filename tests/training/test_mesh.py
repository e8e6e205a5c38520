"""The mesh from its sizes, and the placement of rows on processes and of parameters on devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from vidjax.config import MeshConfig
from vidjax.errors import ConfigError
from vidjax.training import mesh as mesh_lib


def shapes(**leaves):
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in leaves.items()}


def test_the_axis_of_minus_one_takes_the_remaining_devices():
    mesh = mesh_lib.make_mesh(MeshConfig(data=-1, fsdp=2, tensor=2))
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "tensor": 2}


@pytest.mark.parametrize(
    "config",
    [
        MeshConfig(data=-1, fsdp=3),
        MeshConfig(data=2, fsdp=2, tensor=1),
        MeshConfig(data=-1, fsdp=-1),
        MeshConfig(data=0),
    ],
)
def test_sizes_that_do_not_fit_the_devices_are_refused(config):
    with pytest.raises(ConfigError, match=r"mesh\.data="):
        mesh_lib.make_mesh(config)


@dataclasses.dataclass(frozen=True)
class Chip:
    """A device of a TPU slice, with the attributes that a mesh reads."""

    slice_index: int = 0
    platform: str = "tpu"
    coords: tuple[int, ...] = (0, 0, 0)
    device_kind: str = "TPU v5"
    core_on_chip: int = 0
    process_index: int = 0
    id: int = 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MeshConfig(data=1, fsdp=-1), r"belong to 2 slices, so mesh\.data must be a multiple of 2; .* mesh\.data=2"),
        (MeshConfig(slices=4), r"mesh\.slices=4 is not the number of slices of the 8 devices; use 0 or 2"),
    ],
)
def test_only_the_data_axis_spans_slices(config, words):
    with pytest.raises(ConfigError, match=words):
        mesh_lib.make_mesh(config, [Chip(number // 4) for number in range(8)])


def test_eight_chips_of_a_cube_of_64_are_neighbours():
    """No side of the cube has 8 chips, so a group needs parts of several."""
    cube = [Chip(coords=at, id=number) for number, at in enumerate(np.ndindex(4, 4, 4))]
    sizes = [8, 8, 1]
    mesh = mesh_lib.mesh_of(sizes, cube)
    assert mesh.devices.shape == tuple(sizes)
    assert {chip.id for chip in mesh.devices.flat} == set(range(64))
    for group in mesh.devices[:, :, 0]:
        spans = np.ptp([chip.coords for chip in group], axis=0) + 1
        assert np.prod(spans) == 8  # a box without other chips


@pytest.mark.parametrize(
    ("config", "chips", "sizes"),
    [
        (MeshConfig(), 64, [8, 8, 1]),
        (MeshConfig(), 8, [1, 8, 1]),
        (MeshConfig(), 4, [4, 1, 1]),
        (MeshConfig(tensor=2), 64, [4, 8, 2]),
        (MeshConfig(tensor=2), 8, [4, 1, 2]),  # 4 rings of 2 chips are left, not 8
        (MeshConfig(data=16), 16, [16, 1, 1]),  # setting data places all chips
        (MeshConfig(fsdp=1), 64, [64, 1, 1]),
        (MeshConfig(fsdp=-1, data=2), 64, [2, 32, 1]),
    ],
)
def test_tpus_divide_parameters_over_eight_chips_by_default(config, chips, sizes, monkeypatch):
    monkeypatch.setattr(mesh_lib, "mesh_of", lambda sizes, devices: list(sizes))
    assert mesh_lib.make_mesh(config, [Chip()] * chips) == sizes


def test_two_slices_divide_parameters_within_each(monkeypatch):
    monkeypatch.setattr(mesh_lib, "mesh_of", lambda sizes, devices: list(sizes))
    assert mesh_lib.make_mesh(MeshConfig(), [Chip(number // 8) for number in range(16)]) == [2, 8, 1]
    assert mesh_lib.make_mesh(MeshConfig(), [Chip(number // 4) for number in range(8)]) == [8, 1, 1]


def test_devices_other_than_tpus_replicate_parameters_by_default():
    assert dict(mesh_lib.make_mesh(MeshConfig()).shape) == {"data": 8, "fsdp": 1, "tensor": 1}


def test_a_batch_that_does_not_divide_names_the_next_that_does():
    mesh = mesh_lib.make_mesh(MeshConfig())  # 8 row blocks
    mesh_lib.check_rows(mesh, videos=12, clips_per_decode=2, accumulate=3)
    with pytest.raises(ConfigError, match=r"data.global_batch=10 .* such as 12"):
        mesh_lib.check_rows(mesh, videos=10, clips_per_decode=2, accumulate=1)
    with pytest.raises(ConfigError, match=r"multiple of 24 .* train.accumulate=3.* such as 24"):
        mesh_lib.check_rows(mesh, videos=16, clips_per_decode=1, accumulate=3)


def test_micro_batches_of_mixed_pairs_have_an_even_number_of_rows():
    mesh = mesh_lib.make_mesh(MeshConfig(), jax.devices()[:1])
    mesh_lib.check_rows(mesh, videos=6, clips_per_decode=1, accumulate=2)
    mesh_lib.check_rows(mesh, videos=5, clips_per_decode=1, accumulate=1, pairs=True)
    with pytest.raises(ConfigError, match="multiple of 4"):
        mesh_lib.check_rows(mesh, videos=6, clips_per_decode=1, accumulate=2, pairs=True)


def test_groups_of_mixed_rows_fill_the_batch_and_every_micro_batch():
    one, eight = (mesh_lib.make_mesh(MeshConfig(), jax.devices()[:count]) for count in (1, 8))
    mesh_lib.check_groups(eight, rows=24, group=12, accumulate=1)  # a group may lie on several devices
    mesh_lib.check_groups(one, rows=96, group=12, accumulate=4)
    with pytest.raises(
        ConfigError, match=r"20 clips is not a multiple of data.mix_group=12; .* data.mix_group=4, or 0"
    ):
        mesh_lib.check_groups(one, rows=20, group=12, accumulate=1)
    words = r"the 96 clips .* 16 micro-batches .* use train.accumulate=8, or data.mix_group=6, or data.mix_group=0"
    with pytest.raises(ConfigError, match=words):
        mesh_lib.check_groups(one, rows=96, group=12, accumulate=16)
    with pytest.raises(ConfigError, match=r"the 6 clips .* use data.mix_group=3, or data.mix_group=0"):
        mesh_lib.check_groups(eight, rows=48, group=12, accumulate=2)


def grid(data, fsdp, tensor, devices_per_process):
    return (np.arange(data * fsdp * tensor) // devices_per_process).reshape(data, fsdp, tensor)


@pytest.mark.parametrize(
    ("processes", "parts"),
    [
        (grid(8, 1, 1, 8), [(0, 1)]),  # one host
        (grid(8, 1, 1, 4), [(0, 2), (1, 2)]),
        (grid(2, 4, 1, 2), [(0, 4), (1, 4), (2, 4), (3, 4)]),
        (grid(2, 1, 4, 4), [(0, 2), (1, 2)]),  # a tensor group within each host
        (grid(2, 1, 4, 2), [(0, 2), (0, 2), (1, 2), (1, 2)]),  # a tensor group over two hosts: the same rows twice
        (grid(1, 1, 8, 2), [(0, 1)] * 4),  # all hosts see all rows
    ],
)
def test_each_process_loads_the_rows_its_devices_hold(processes, parts):
    assert [mesh_lib.part_of_rows(processes, own) for own in range(len(parts))] == parts


def test_processes_that_share_a_part_of_their_rows_are_refused():
    with pytest.raises(ConfigError, match="unequal or overlapping"):
        mesh_lib.part_of_rows(
            grid(3, 1, 4, 6), 0
        )  # the second row block is shared by two hosts that also hold their own blocks


def test_tensor_rules_cut_heads_and_hidden_units_and_fsdp_the_largest_rest():
    mesh = mesh_lib.make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
    blocks = {
        "attn": {"qkv": shapes(kernel=(4, 64, 3, 2, 32), q_bias=(4, 2, 32)), "proj": shapes(kernel=(4, 2, 32, 64))},
        "mlp": {"fc1": shapes(kernel=(4, 64, 256), bias=(4, 256)), "fc2": shapes(kernel=(4, 256, 64), bias=(4, 64))},
        "norm": shapes(scale=(4, 64)),
    }
    tree = {"encoder": {"blocks": blocks, "patch_embed": shapes(kernel=(192, 64), bias=(64,))}, "odd": shapes(a=(7, 9))}
    spec = jax.tree.map(lambda at: at.spec, mesh_lib.param_shardings(tree, mesh, fsdp_min_size=1))
    found = spec["encoder"]["blocks"]
    assert found["attn"]["qkv"]["kernel"] == P(None, "fsdp", None, "tensor", None)
    assert found["attn"]["qkv"]["q_bias"] == P(None, "tensor", "fsdp")
    assert found["attn"]["proj"]["kernel"] == P(None, "tensor", None, "fsdp")
    assert found["mlp"]["fc1"]["kernel"] == P(None, "fsdp", "tensor")
    assert found["mlp"]["fc1"]["bias"] == P(None, "tensor")
    assert found["mlp"]["fc2"]["kernel"] == P(None, "tensor", "fsdp")
    assert found["norm"]["scale"] == P(None, "fsdp")  # never over the stacked layers
    assert spec["encoder"]["patch_embed"]["kernel"] == P("fsdp", None)
    assert spec["odd"]["a"] == P(None, None)


def test_small_parameters_are_not_cut_over_fsdp():
    mesh = mesh_lib.make_mesh(MeshConfig(data=1, fsdp=8))
    spec = mesh_lib.param_shardings(shapes(small=(8, 8), large=(16, 8)), mesh, fsdp_min_size=128)
    assert spec["small"].spec == P(None, None)
    assert spec["large"].spec == P("fsdp", None)


def test_heads_that_the_tensor_axis_does_not_divide_are_refused():
    mesh = mesh_lib.make_mesh(MeshConfig(data=1, tensor=8))
    with pytest.raises(ConfigError, match=r"mesh.tensor=8 does not divide .*qkv/kernel.*a divisor of 6"):
        mesh_lib.param_shardings({"qkv": shapes(kernel=(2, 48, 3, 6, 8))}, mesh, fsdp_min_size=1)


def test_a_global_batch_keeps_the_rows_in_order():
    mesh = mesh_lib.make_mesh(MeshConfig(data=4, fsdp=2))
    local = {"index": np.arange(16, dtype=np.int64), "video": np.arange(32, dtype=np.uint8).reshape(16, 2)}
    batch = mesh_lib.global_batch(local, mesh_lib.batch_sharding(mesh))
    assert batch["index"].dtype == jnp.int32
    np.testing.assert_array_equal(batch["index"], local["index"])
    np.testing.assert_array_equal(batch["video"], local["video"])
    assert {shard.data.shape for shard in batch["video"].addressable_shards} == {(2, 2)}
