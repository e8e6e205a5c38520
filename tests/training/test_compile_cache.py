"""Compiled programs are reused by the next process, unless the user turns that off."""

import os
import pathlib
import subprocess
import sys

import pytest

from vidjax.training import compile_cache

PROGRAM = """
import sys
from vidjax.training.compile_cache import use_compile_cache
use_compile_cache(*sys.argv[1:])
import jax, jax.numpy as jnp
from jax._src import monitoring
hits = []
monitoring.register_event_listener(lambda name, **_: hits.append(name) if name.endswith("/cache_hits") else None)
if jax.config.jax_compilation_cache_dir:
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).block_until_ready()
print(jax.config.jax_compilation_cache_dir, len(hits) > 0)
"""


def run(home, *setting, **environment):
    """In a new process: its cache folder, whether it found its program there, and what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("CACHE_HOME", "CACHE_DIR"))}
    del kept["VIDJAX_COMPILE_CACHE"]
    environment = {**kept, "HOME": str(home), "JAX_PLATFORMS": "cpu", **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *setting], env=environment, capture_output=True, text=True, check=True
    )
    folder, found = done.stdout.split()
    return folder, found == "True", done.stderr


def test_the_second_process_reads_what_the_first_has_compiled(tmp_path):
    folder, found, _ = run(tmp_path)
    assert pathlib.Path(folder).parent == tmp_path / ".cache/vidjax/jax"
    assert not found
    assert run(tmp_path) == (folder, True, "")  # and no warning about other machines' instruction sets


@pytest.mark.parametrize(
    ("setting", "environment", "folder"),
    [
        (("off",), {}, "None"),
        ((), {"VIDJAX_COMPILE_CACHE": "off"}, "None"),
        ((), {"VIDJAX_COMPILE_CACHE": "{home}/a"}, "{home}/a"),
        (("{home}/b",), {"VIDJAX_COMPILE_CACHE": "off"}, "{home}/b"),
        (("{home}/b",), {"JAX_COMPILATION_CACHE_DIR": "{home}/c"}, "{home}/c"),
        ((), {"XDG_CACHE_HOME": "{home}/d"}, "{home}/d/vidjax/jax/*"),
    ],
)
def test_which_setting_decides_the_folder(tmp_path, setting, environment, folder):
    setting = [word.format(home=tmp_path) for word in setting]
    environment = {name: value.format(home=tmp_path) for name, value in environment.items()}
    assert pathlib.PurePath(run(tmp_path, *setting, **environment)[0]).match(folder.format(home=tmp_path))


def test_a_home_that_cannot_be_written_to_only_prints_a_warning(tmp_path):
    (tmp_path / ".cache").write_text("a file, where root too can make no folder")
    folder, _, words = run(tmp_path)
    assert folder == "None"
    assert words.startswith("vidjax: compiled programs are not cached: ")
    assert len(words.splitlines()) == 1


def test_processors_with_other_instruction_sets_have_separate_folders(monkeypatch):
    here = compile_cache.default_folder()
    monkeypatch.setattr(compile_cache, "_instructions", lambda: "fpu sse2")
    assert compile_cache.default_folder() != here
    assert compile_cache.default_folder().parent == here.parent


def test_the_least_recently_used_programs_are_removed_first(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "_LARGEST", 250)
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1e9 - age, 1e9))
    compile_cache._make_room(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
