"""A hub folder loads as the same model, and its card matches the run and contains no local path."""

import ast
import json

import numpy as np
import pytest
from random_runs import write_run
from saved_runs import make_config
from videos import encode, moving_texture

import vidjax
from vidjax.cli import main, parse

LABELS = ("run", "jump", "fall")
NAME = "someone/some-model"


def run_of(name, tmp_path_factory, **keys):
    """A run whose sampling differs from that of its family's published model."""
    keys = {"data__stride": 3, "data__num_frames": 8, "data__image_size": 32, "eval__merge": "mean_softmax"} | keys
    config = make_config(model__name=name, eval__crops=3, **keys)
    return write_run(tmp_path_factory.mktemp("secret") / "run", config, 3, LABELS, scale=0.1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = run_of("videomae_tiny", tmp_path_factory, init_from="/home/me/models/pretrained", train__steps=77)
    results = {"eval/top1": 0.62519, "eval/num_scored": 80, "eval/f1/run": 0.333, "eval/merge": "mean_softmax"}
    (folder / "results.json").write_text(json.dumps(results))
    return str(folder)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "out"
    assert main(["export", run, str(folder), "--hub-layout", NAME, "--license", "cc-by-nc-4.0"]) == 0
    return folder


@pytest.fixture
def video(tmp_path):
    (tmp_path / "video.mp4").write_bytes(encode(moving_texture(40, 40, 56), rate=8))
    return str(tmp_path / "video.mp4")


def test_it_loads_with_the_clips_labels_and_answers_of_the_run(run, exported, video):
    there, here = vidjax.from_pretrained(run), vidjax.from_pretrained(exported)
    assert here.clips == there.clips
    assert here.labels == LABELS
    assert_same_answer(there, here, video)


def test_a_family_that_transformers_lacks_loads_too(tmp_path_factory, tmp_path, video):
    run = run_of("videomamba_tiny", tmp_path_factory, train__steps=0, train__epochs=7.5)
    assert main(["export", str(run), str(tmp_path / "out"), "--hub-layout", NAME]) == 0
    assert not (tmp_path / "out" / "config.json").exists()
    there, here = vidjax.from_pretrained(run), vidjax.from_pretrained(tmp_path / "out")
    assert here.clips == there.clips
    assert_same_answer(there, here, video)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| epochs | 7.5 |" in card
    assert "| steps |" not in card  # a recipe in epochs sets no steps


def test_an_autoencoder_loads_and_its_card_promises_no_classes(tmp_path_factory, tmp_path):
    config = make_config(task="masked_autoencoding", data__image_size=32, data__num_frames=8, data__stride=3)
    run = write_run(tmp_path_factory.mktemp("runs") / "autoencoder", config, 0)
    assert main(["export", str(run), str(tmp_path / "out"), "--hub-layout", NAME]) == 0
    there, here = vidjax.from_pretrained(run), vidjax.from_pretrained(tmp_path / "out")
    assert here.clips == there.clips
    assert here.num_classes is None
    card = (tmp_path / "out" / "README.md").read_text()
    assert "reconstructs masked videos" in card
    assert "video-classification" not in card
    assert ".predict(" not in card


def assert_same_answer(there, here, video):
    wanted, found = ({line["label"]: line["probability"] for line in m.predict(video)["top"]} for m in (there, here))
    assert set(wanted) == set(LABELS)
    np.testing.assert_allclose([found[label] for label in LABELS], [wanted[label] for label in LABELS], rtol=1e-4)


def test_the_card_has_recipe_figures_licence_and_loading_code(exported):
    card = (exported / "README.md").read_text()
    head = card.split("---")[1]
    assert "license: cc-by-nc-4.0" in head
    assert "pipeline_tag: video-classification" in head
    assert "| epochs |" not in card
    for words in ("| steps | 77 |", "| top1 | 0.6252 |", "| initial weights | pretrained |", "run, jump, fall"):
        assert words in card
    assert "f1/run" not in card
    assert f'vidjax.from_pretrained("{NAME}")' in card
    assert f'AutoModelForVideoClassification.from_pretrained("{NAME}")' in card


def test_no_file_contains_a_local_path(exported, run):
    for path in exported.rglob("*"):
        if path.suffix in (".md", ".json", ".py", ".txt"):
            text = path.read_text()
            assert run not in text
            assert "/home/me" not in text
            assert "secret" not in text


def test_the_space_runs_the_demo_verb_with_this_model(exported):
    tree = ast.parse((exported / "space" / "app.py").read_text())
    [words] = [ast.literal_eval(node) for node in ast.walk(tree) if isinstance(node, ast.List)]
    arguments = parse(words)
    assert arguments.verb == "demo"
    assert arguments.model == [NAME]
    assert (arguments.host, arguments.port) == ("0.0.0.0", 7860)  # the address that the hub expects
    assert "vidjax[demo]" in (exported / "space" / "requirements.txt").read_text()


def test_without_a_licence_the_verb_and_the_card_say_so(run, tmp_path, capsys):
    assert main(["export", run, str(tmp_path / "out"), "--hub-layout", NAME]) == 0
    assert "the card states no licence; give --license" in capsys.readouterr().err
    assert "Not stated." in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--hub-layout", "nobody"], "'nobody' is not a hub repository name; give owner/name"),
        (["--hub-layout", NAME, "--format", "onnx"], "--hub-layout holds weights, not --format=onnx"),
        (["--license", "mit"], "--license is for the card of --hub-layout"),
        (["--hub-layout", NAME, "--license", "a\nb: c"], "is not a hub licence"),
    ],
)
def test_mistakes_give_a_message_and_leave_no_files(words, sentence, run, tmp_path, capsys):
    assert main(["export", run, str(tmp_path / "out"), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
