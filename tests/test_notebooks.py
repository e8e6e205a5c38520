"""The notebooks of colabs/ are stripped, share their first cell, use the real command line and library, and run.

Each has a cell tagged `parameters`. A smoke run inserts smaller values after it and changes nothing else: hub ids
return random weights in the layout of the public ones, and nothing is downloaded.
"""

import ast
import importlib
import os
import pathlib
import re
import shlex
import subprocess
import sys

import nbclient
import nbformat
import pytest
import real_clips
from IPython.core.inputtransformer2 import TransformerManager

import vidjax.cli
import vidjax.data
import vidjax.main
import vidjax.ops

ROOT = pathlib.Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "colabs").glob("*.ipynb"))
KILOBYTES = 300
# Besides the names that packages list and documents show: the two programs, and the videos that vidjax writes.
ALSO_PUBLIC = {"vidjax", "vidjax.cli", "vidjax.main", "vidjax.data.motion_videos"}
ROOMS = {room.__name__: room for room in (vidjax, vidjax.data, vidjax.ops)}
SMOKE = {
    "1-quickstart": "pretrain_steps, finetune_steps = 40, 40",
    "2-what-a-model-sees": "video, autoencoder = VIDEO, 'MCG-NJU/videomae-base-short'",
    "3-fine-tune": "videos, weights, steps, views = VIDEOS, 'MCG-NJU/videomae-base-short', 10, 1",
    "4-affect": "train, test, backbone_steps, steps = 'val', 'test', 40, 40",
    "5-long-videos": "video, steps, lengths = VIDEO, 40, (64, 128)",
    "6-to-a-pod": "recipe, topology = 'videomae_k400:smoke', 'v5e:2x2'",
    "7-your-own-loop": "steps = 40",
    "8-lora": "videos, weights, steps, views = VIDEOS, 'facebook/vjepa2-vitl-fpc64-256', 10, 1",
}
WEIGHTS = {  # names of `tests/hub/checkpoints.py`
    "2-what-a-model-sees": ("videomae-base-finetuned", "videomae-base-short"),
    "3-fine-tune": ("videomae-base-short",),
    "5-long-videos": ("videomamba_t16_k400",),
    "8-lora": ("vjepa2-vitl-fpc64-256",),
}


def read(name):
    return nbformat.read(ROOT / "colabs" / f"{name}.ipynb", as_version=4)


def code_cells(name):
    return [cell for cell in read(name).cells if cell.cell_type == "code"]


def parameters(name):
    [cell] = [cell for cell in code_cells(name) if "parameters" in cell.metadata.get("tags", [])]
    return cell


def parsed(name):
    """All code of a notebook as one module, with its magics as calls of IPython."""
    return ast.parse("\n".join(TransformerManager().transform_cell(cell.source) for cell in code_cells(name)))


def assigned(code):
    return {
        node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def commands(name):
    """The arguments that a notebook passes to `run`, as words, with a stand-in for each value filled in by Python."""
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "run":
            [text] = node.args
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            words = (part.value if isinstance(part, ast.Constant) else filled(part.value) for part in parts)
            yield shlex.split("".join(words))


def filled(value):
    """A stand-in for a value in a command."""
    words = {"dtype": "float32", "on_cpu": "True", "recipe": "videomae_k400:small", "regression": "afew_va"}
    words["recipe.split(':')[0]"] = "videomae_k400"
    return words.get(ast.unparse(value), "1")


def documented():
    """The modules that the documents import from."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    return set(re.findall(r"^from (vidjax[\w.]*) import", "\n".join(page.read_text() for page in pages), re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_valid_small_and_holds_no_output_except_pictures(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert (ROOT / "colabs" / f"{name}.ipynb").stat().st_size < KILOBYTES * 1000
    outputs = [output for cell in code_cells(name) for output in cell.outputs]
    assert all("image/png" in output.data for output in outputs)
    assert all(cell.execution_count is None for cell in code_cells(name))
    assert "accelerator" not in notebook.metadata  # readers choose their own


def test_notebooks_start_alike_and_open_in_colab():
    """Title and badge, then the cell that detects the machine, then the reader's parameters."""
    assert [name.split("-")[0] for name in NAMES] == list("12345678")
    assert len({code_cells(name)[0].source for name in NAMES}) == 1
    for name in NAMES:
        address = f"https://colab.research.google.com/github/vidjax/vidjax/blob/main/colabs/{name}.ipynb"
        assert address in read(name).cells[0].source
        assert parameters(name) == code_cells(name)[1]
        assert assigned(SMOKE[name]) <= assigned(parameters(name).source)


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_those_of_the_command_line(name):
    """Verbs, options, experiments and keys exist, and their values are of the right kind."""
    for program, *words in commands(name):
        if program == "vidjax":
            vidjax.cli.parse(words)
        else:
            assert [program, *words[:2]] == ["python", "-m", "vidjax.main"]
            vidjax.main.read_flags(words[1:])


@pytest.mark.parametrize("name", NAMES)
def test_imports_are_of_public_names(name):
    public = documented() | ALSO_PUBLIC
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("vidjax"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert node.module in public or f"{node.module}.{alias.name}" in public
                assert not alias.name.startswith("_")
                assert hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")
        if isinstance(node, ast.Attribute) and (room := ast.unparse(node.value)) in ROOMS:
            assert node.attr in ROOMS[room].__all__ or f"{room}.{node.attr}" in ROOMS


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    text = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\((?!https:)([^)#]+)", text):
        assert (ROOT / "colabs" / target).exists(), target


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    real_clips.write_clips(folder, 10)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "6-to-a-pod"])
def test_a_notebook_runs_from_top_to_bottom(name, tmp_path, videos, monkeypatch):
    execute(name, tmp_path, videos, monkeypatch)


@pytest.mark.aot
@pytest.mark.slow
def test_the_notebook_of_the_pod_compiles_and_plans(tmp_path, videos, monkeypatch):
    pytest.importorskip("libtpu", reason="the TPU compiler (extra: aot)")
    execute("6-to-a-pod", tmp_path, videos, monkeypatch)


def execute(name, folder, videos, monkeypatch):
    """Run a notebook in its own folder, on one device, with the hub unreachable."""
    if WEIGHTS.get(name):
        pytest.importorskip("transformers", reason="the weights are those of transformers (extra: test)")
    for weights in WEIGHTS.get(name, ()):
        maker = [sys.executable, str(ROOT / "tests/hub/fake_hub.py"), str(folder / "hub"), "--tiny", "--only", weights]
        subprocess.run(maker, check=True, capture_output=True)
    for variable, value in {"HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "JAX_NUM_CPU_DEVICES": "1"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    notebook = read(name)
    place = notebook.cells.index(next(cell for cell in notebook.cells if cell == parameters(name)))
    given = f"VIDEOS, VIDEO = {str(videos)!r}, {str(next(videos.rglob('*.mp4')))!r}\n{SMOKE[name]}"
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(given))
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=resources).execute()
