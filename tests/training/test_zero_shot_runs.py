"""`mode=evaluate task=zero_shot`: every video of a classed data set counts, by the words for its class."""

import dataclasses
import json
from pathlib import Path

import pytest
from clip_folder import SIDE, write_clip
from random_runs import write_run
from saved_runs import make_config
from videos import encode, moving_texture

import vidjax
from vidjax import config as config_lib
from vidjax.errors import ConfigError
from vidjax.main import main
from vidjax.training import evaluate

WORDS = {"bike": "riding a bike", "cook_food": "cooking", "dog": "a dog"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return str(folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three classes of two videos each, one of them broken."""
    root = tmp_path_factory.mktemp("data")
    for label, name in enumerate(WORDS):
        folder = root / "val" / name
        folder.mkdir(parents=True)
        for row in range(2):
            (folder / f"{row}.mp4").write_bytes(encode(moving_texture(30, seed=3 * row + label)))
    (root / "val" / "dog" / "0.mp4").write_bytes(b"not a video")
    return root


def settings(root, clip, **changes):
    config = config_lib.defaults()
    config.mode, config.task, config.init_from = "evaluate", "zero_shot", clip
    config.model.name = "clip_tiny"
    config.model.spec.update(width=32, depth=2, num_heads=4, mlp_dim=48, patch_size=8)
    config.data.update(name="folder", root=str(root), eval_split="val", num_frames=2, image_size=SIDE, workers=0)
    config.data.update(sampling="segment", short_side=(SIDE, SIDE), interpolation="bicubic")
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


def test_the_documented_command_takes_the_model_and_its_clips_from_the_weights(root, clip, tmp_path):
    names = tmp_path / "words.json"
    names.write_text(json.dumps(WORDS))
    data = ["name=folder", f"root={root}", "eval_split=val", "num_classes=0", "num_frames=2", "workers=0"]
    words = [f"--config.data.{word}" for word in data] + [f"--config.zero_shot.class_names={names}"]
    words += [f"--config.init_from={clip}", f"--workdir={tmp_path / 'run'}", "--config.eval.allow_missing=True"]
    assert main(["vidjax.main", "--config=zero_shot_k400:clip_base", *words]) == 0
    evaluate(settings(root, clip, zero_shot__class_names=str(names), eval__clips=1, eval__crops=1), tmp_path / "out")
    found, wanted = ((tmp_path / folder / "predictions.jsonl").read_text() for folder in ("run", "out"))
    assert found == wanted
    assert len(found.splitlines()) == 6


def test_every_video_is_scored_by_the_words_for_the_classes(root, clip, tmp_path):
    names = tmp_path / "words.json"
    names.write_text(json.dumps(WORDS))
    templates = ("a video of {}.", "{} again")
    config = settings(root, clip, zero_shot__class_names=str(names), zero_shot__templates=templates, eval__clips=2)
    results = evaluate(config, tmp_path / "out")
    model, right, scored = vidjax.from_pretrained(clip, num_frames=2), 0, 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        if line["scored"]:
            name = list(WORDS)[line["label"]]
            video = root / "val" / name / f"{Path(line['id']).stem}.mp4"
            answer = model.predict(video, classes=list(WORDS.values()), templates=templates, clips=2, crops=3)
            best = list(WORDS.values()).index(answer["top"][0]["label"])
            assert best == line["top"][0]
            assert line["scores"][0] == pytest.approx(answer["top"][0]["probability"], abs=2e-5)
            right, scored = right + (best == line["label"]), scored + 1
    assert (results["eval/num_expected"], results["eval/num_scored"], scored) == (6, 5, 5)
    assert results["eval/top1"] == pytest.approx(right / 6)
    said = json.loads((tmp_path / "out" / "zero_shot.json").read_text())
    assert said == {"templates": list(templates), "classes": WORDS}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "train"}, "task=zero_shot does not train; set config.mode=evaluate"),
        ({"model__spec": {"width": 64}}, "has width=32, but that of model.name='clip_tiny' has 64"),
        ({"model__name": "videomae_tiny", "model__spec": {}}, "holds a clip, but config.model.name='videomae_tiny'"),
        ({"zero_shot__templates": ("a video",)}, "has 0 places for the class"),
        ({"optim__label_smoothing": 0.1}, "config.optim.label_smoothing=0.1 is for task=classification"),
    ],
)
def test_configurations_that_cannot_be_scored_are_refused(root, clip, tmp_path, changes, message):
    changes, config = dict(changes), settings(root, clip)
    spec = changes.pop("model__spec", None)
    found = dataclasses.asdict(config)
    if spec is not None:
        found["model"]["spec"] = {**found["model"]["spec"], **spec} if spec else {}
    for key, value in changes.items():
        *section, name = key.split("__")
        (found[section[0]] if section else found)[name] = value
    with pytest.raises(ConfigError, match=message):
        evaluate(config_lib.from_dict(found), tmp_path)


def test_classes_that_are_only_numbers_are_refused(root, clip, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    rows = [f"{path} {number % 3}" for number, path in enumerate(sorted(root.glob("val/*/*.mp4")))]
    (lists / "val.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(ConfigError, match="class 0 of the data has a number instead of a name"):
        evaluate(settings(lists, clip), tmp_path / "out")


def test_weights_without_a_text_tower_are_refused(root, tmp_path):
    config = make_config(model__name="videomae_tiny", data__num_frames=8, data__image_size=32)
    run = write_run(tmp_path / "run", config, 3)
    with pytest.raises(ConfigError, match="without a text tower, which task=zero_shot needs"):
        evaluate(settings(root, str(run)), tmp_path / "out")
