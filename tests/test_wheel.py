"""`make dist` builds a complete wheel: with it alone, in an empty folder, experiments are found by name."""

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
ASK = """
import vidjax
from vidjax.config import find_experiment
from vidjax.main import read_config
print(vidjax.__file__)
print(find_experiment("videomae_k400"))
print(read_config(["--config=videomae_k400.py:small"]).model.name)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The content of the wheel, which is built from the sdist."""
    pytest.importorskip("hatchling", reason="what builds the wheel (extra: test)")
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(words, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def test_the_wheel_holds_the_package_and_the_experiments_and_nothing_else(unpacked):
    def python_files(folder):
        return {path.name: path.read_bytes() for path in folder.glob("*.py")}

    assert python_files(unpacked / "vidjax" / "configs") == python_files(ROOT / "configs")
    assert (unpacked / "vidjax" / "py.typed").is_file()
    assert sorted(path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")) == ["vidjax"]
    modules = {
        path.relative_to(unpacked) for path in (unpacked / "vidjax").rglob("*.py") if path.parent.name != "configs"
    }
    assert modules == {path.relative_to(ROOT) for path in (ROOT / "vidjax").rglob("*.py")}


def test_experiments_are_found_by_name_from_an_empty_folder(unpacked, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    package, experiment, name = done.stdout.split()
    assert pathlib.Path(package).parent == unpacked / "vidjax"
    assert pathlib.Path(experiment) == unpacked / "vidjax" / "configs" / "videomae_k400.py"
    assert name == "videomae_small"
