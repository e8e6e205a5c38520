"""The command line: a mistake is one sentence on stderr, exit code 2, no traceback."""

import subprocess
import sys
import textwrap

import pytest

from vidjax.main import main, read_config


def vidjax(*args, **kwargs):
    return subprocess.run([sys.executable, "-m", "vidjax.main", *args], capture_output=True, text=True, **kwargs)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "--config=FILE is missing"),
        (("--config=configs/videomae_k40.py", "--workdir=x"), "did you mean configs/videomae_k400.py?"),
        (("--config=videomae_k40:base", "--workdir=x"), "did you mean videomae_k400?"),
        (("--config=configs/videomae_k400.py:bse", "--workdir=x"), "choose from small, base, large, huge, smoke"),
        (("--config=configs/videomae_k400.py",), "--workdir is missing"),
        (
            ("--config=configs/videomae_k400.py", "--workdir=x", "--config.data.rot=y"),
            "config.data.rot is unknown; did you mean config.data.root?",
        ),
        (("--config=configs/videomae_k400.py", "--workdir=x", "--config.data.num_frames=many"), "num_frames"),
        (("--config=configs/videomae_k400.py", "--workdir=x", "--config.data.sampling=dens"), "did you mean 'dense'"),
        (("--config=configs/videomae_k400.py", "--wrkdir=x"), "workdir"),
        (("--config=configs/videomae_k400.py", "--workdir=x", "stray"), "'stray'"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(args, message):
    done = vidjax(*args)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("vidjax: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_key_in_an_experiment_file_names_the_nearest(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        textwrap.dedent("""
        from vidjax import config as config_lib
        def get_config(arg=None):
            config = config_lib.defaults()
            config.data.rot = "/videos"
            return config
        """)
    )
    done = vidjax(f"--config={path}", "--workdir=x")
    assert done.returncode == 2
    assert 'Did you mean "root"' in done.stderr
    assert "Traceback" not in done.stderr


def test_an_experiment_is_read_by_name_with_its_size_and_keys_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = read_config(["--config=videomae_k400.py:small", "--config.data.root=/videos"])
    assert (config.model.name, config.data.root) == ("videomae_small", "/videos")
    assert config == read_config(["--config=videomae_k400:small", "--config.data.root=/videos"])


def test_loader_workers_can_import_main_and_the_loader_without_starting_a_backend():
    """grain itself imports jax; but a worker must not claim a device."""
    code = (
        "import sys, vidjax.main, vidjax.data.loader\n"
        "from jax._src import xla_bridge\n"
        "sys.exit(bool(xla_bridge._backends))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_importing_vidjax_is_light():
    code = "import vidjax, sys; sys.exit(any(m in sys.modules for m in ('jax', 'grain', 'numpy', 'av')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_help_shows_how_to_start_a_run(capsys):
    assert main(["vidjax.main", "--help"]) == 0
    assert "--config=FILE[:ARG,ARG] --workdir=DIR" in capsys.readouterr().out
