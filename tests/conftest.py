"""Sets up eight virtual CPU devices before jax is imported, and a compilation cache for the session."""

import gc
import os
from importlib import metadata

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
# Tests spend far more time compiling than running, so XLA's optimisation passes, its parallel compilation of split
# modules and its newer code generator (the only one after jaxlib 0.10) do not pay off. Child processes inherit this.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if metadata.version("jaxlib").startswith("0.10.") else ""),
)
# Child processes keep nothing in the user's cache folder.
os.environ.setdefault("VIDJAX_COMPILE_CACHE", "off")
# pytest-xdist already has one process per core; child processes inherit this too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import pytest

# Tracing makes millions of objects that live on; searching them for cycles as often as Python does took 6 % of the
# CPU time. Two million new objects still start a full search.
gc.set_threshold(100_000, 10, 2)


@pytest.fixture(scope="session", autouse=True)
def compile_cache(tmp_path_factory):
    """Many tests run the same tiny step. The processes of pytest-xdist share what they compile."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
