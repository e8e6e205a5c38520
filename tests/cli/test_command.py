"""The command itself: fast to start, no tracebacks, and real documented output."""

import importlib.metadata
import pathlib
import resource
import shlex
import subprocess
import sys
import tomllib

import pytest

from vidjax.cli import VERBS, build_parser, main, parse

ROOT = pathlib.Path(__file__).parents[2]


def test_the_installed_command_and_the_module_answer(capsys):
    """The installed script calls the entry point of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    script = importlib.metadata.EntryPoint("vidjax", project["scripts"]["vidjax"], "console_scripts").load()
    with pytest.raises(SystemExit) as stop:
        script(["--version"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert said == f"vidjax {project['version']}\n"
    module = subprocess.run(
        [sys.executable, "-m", "vidjax.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert module.stdout == said


def test_help_comes_before_anything_heavy_is_imported():
    heavy = "{'jax', 'flax', 'numpy', 'av', 'torch', 'orbax'}"
    code = f"import sys, vidjax.cli as cli; cli.build_parser(); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "verb", ["predict", "watch", "attention", "reconstruct", "compare", "export", "serve", "embed", "index", "search"]
)
def test_help_takes_less_than_half_a_second(verb):
    """Processor time is measured, which hardly depends on what else runs; the fastest of up to three calls counts."""
    took = []
    while len(took) < 3 and min(took, default=1.0) >= 0.5:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "vidjax.cli", verb, "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.5


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"    {verb}" in shown for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_its_options(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert "usage: vidjax" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_no_two_options_of_a_verb_have_the_same_help(verb):
    parser = build_parser()[1][verb]
    explained = [action.help for action in parser._actions if action.help and action.help != "of mlp"]
    assert len(explained) == len(set(explained))


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_every_verb_has_a_valid_example(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    shown = capsys.readouterr().out.splitlines()
    example = shlex.split(shown[shown.index("example:") + 1])
    assert example[:2] == ["vidjax", verb]
    assert parse(example[1:]).verb == verb


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the following arguments are required: VERB; see vidjax --help"),
        (["preditc"], "there is no verb 'preditc'; did you mean 'predict'? The verbs: attention, bench, caption"),
        (["models", "--jsn"], "models has no option --jsn; did you mean --json?"),
        (["models", "extra"], "unrecognized arguments: extra; see vidjax --help"),
        (["models", "--family"], "argument --family: expected one argument; see vidjax models --help"),
        (["predict", "video.mp4"], "the following arguments are required: --model; see vidjax predict --help"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(words, sentence, capsys):
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"vidjax: {sentence}")
    assert len(shown.err.splitlines()) == 1
    assert not shown.out


@pytest.mark.parametrize("verb", VERBS)
def test_the_documentation_shows_every_verb(verb):
    assert f"\n$ vidjax {verb} " in (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("word", ["train", "finetune", "evaluate"])
def test_training_verbs_give_a_message_that_names_the_command(word, capsys):
    assert main([word, "videos"]) == 2
    assert "python -m vidjax.main --config=finetune" in capsys.readouterr().err
