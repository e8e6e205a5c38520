"""Classes in words: probabilities equal those of `transformers`' CLIP for the same frames and texts."""

import json

import jax
import numpy as np
import pytest
from clip_folder import write_clip
from videos import encode, moving_texture

import vidjax
from vidjax.cli import main
from vidjax.data.clips.eval_views import protocol_views
from vidjax.errors import ConfigError
from vidjax.weights.zero_shot import with_classes

CLASSES = ["riding a bike", "cooking", "a dog"]
TEMPLATES = ["a video of {}.", "{} again", "a red {}"]
CLOSE = {"rtol": 1e-4, "atol": 1e-6}  # float32 in another order, times a scale of e^1.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip")
    return str(path), *write_clip(path)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "texture.mp4"
    path.write_bytes(encode(moving_texture(50)))
    return str(path)


def pixels_of(model, video):
    """The frames of a model's view as PyTorch's CLIP takes them."""
    import torch

    frames = protocol_views(video, model.clips)[0] / 255
    return torch.from_numpy(((frames - model.mean) / model.std).astype(np.float32).transpose(0, 3, 1, 2))


def found_of(answer):
    return np.array([{line["label"]: line["probability"] for line in answer["top"]}[name] for name in CLASSES])


def test_probabilities_are_the_softmax_of_the_logits_of_transformers(folder, video):
    import torch

    path, theirs, vocabulary = folder
    ours = vidjax.from_pretrained(path, num_frames=1)
    texts = [f"a video of {name}." for name in CLASSES]
    with torch.no_grad():
        tokens = torch.from_numpy(vocabulary.encode(texts)).long()
        wanted = theirs(input_ids=tokens, pixel_values=pixels_of(ours, video)).logits_per_image.softmax(-1)[0]
    answer = ours.predict(video, classes=CLASSES)
    np.testing.assert_allclose(found_of(answer), wanted, **CLOSE)
    assert max(wanted) - min(wanted) > 0.01  # the classes differ


def test_several_templates_are_averaged_as_unit_vectors(folder, video):
    """CLIP's ensemble, by hand: the mean over templates of unit-length embeddings, scaled to unit length again."""
    import torch

    path, theirs, vocabulary = folder
    ours = vidjax.from_pretrained(path, num_frames=1)
    unit = lambda rows: rows / np.linalg.norm(rows, axis=-1, keepdims=True)  # noqa: E731
    with torch.no_grad():
        image = theirs.get_image_features(pixel_values=pixels_of(ours, video))
        image = unit(np.asarray(getattr(image, "pooler_output", image)))[0]
        heads = []
        for name in CLASSES:
            tokens = vocabulary.encode([template.replace("{}", name) for template in TEMPLATES])
            text = theirs.get_text_features(input_ids=torch.from_numpy(tokens).long())
            heads.append(unit(unit(np.asarray(getattr(text, "pooler_output", text))).mean(0)))
    logits = np.exp(1.5) * np.stack(heads) @ image
    wanted = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(found_of(ours.predict(video, classes=CLASSES, templates=TEMPLATES)), wanted, **CLOSE)


def test_the_result_is_a_classifier_on_arrays_too(folder, video):
    model = vidjax.from_pretrained(folder[0], num_frames=1)
    classifier = with_classes(model, CLASSES)
    clip = protocol_views(video, model.clips)[0]
    found = jax.nn.softmax(classifier(clip)["logits"])
    np.testing.assert_allclose(found, found_of(model.predict(video, classes=CLASSES)), **CLOSE)
    np.testing.assert_allclose(jax.jit(classifier)(clip)["logits"], classifier(clip)["logits"], **CLOSE)
    assert (classifier.num_classes, classifier.labels) == (3, tuple(CLASSES))
    assert set(classifier.params) == {"video", "video_projection", "logit_scale", "logit_bias", "classes"}


def test_the_verb_answers_as_python_does_also_in_time(folder, video, tmp_path, capsys):
    path = folder[0]
    model = vidjax.from_pretrained(path)
    words = tmp_path / "classes.txt"
    words.write_text("\n".join(CLASSES) + "\n")
    options = ["predict", video, f"--model={path}", "--classes", str(words), "--every=0.5", "--json"]
    subtitles = ["--srt", str(tmp_path / "film.srt")]
    assert main([*options, *subtitles]) == 0
    out, err = capsys.readouterr()
    [answer] = json.loads(out)
    assert answer == model.predict(video, classes=CLASSES, every=0.5)
    assert "a class is read as 'a video of {}.' (see --templates)" in err
    assert answer["segments"][0]["label"] in (tmp_path / "film.srt").read_text()


def test_a_web_page_shows_the_named_classes_with_their_probabilities(folder, video, tmp_path, capsys):
    words = ["predict", video, "--model", folder[0], "--classes", *CLASSES]
    assert main([*words, "--every=1", "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)
    page = tmp_path / "answers.html"
    assert main([*words, "--html", str(page)]) == 0
    shown = page.read_text()
    assert all(name in shown for name in CLASSES)
    assert f"<b>{answer['top'][0]['label']}</b> {answer['top'][0]['probability']:.0%}" in shown


def test_texts_and_models_that_do_not_fit_are_refused_in_a_sentence(folder, video, make_run, capsys):
    long = "riding a bike through the snow with a big red seven on the back of a dog"

    def refused(*options):
        assert main(["predict", video, *options]) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    path, classifier = folder[0], make_run()
    assert "tokens, but the text tower reads 10; shorten it" in refused(f"--model={path}", "--classes", "a", long)
    assert refused(f"--model={path}").endswith("instead of classes; name the classes with `vidjax predict --classes`")
    assert "without a text tower; use a model with one" in refused(f"--model={classifier}", "--classes", "a", "b")
    assert "--templates are texts around the classes of --classes" in refused(f"--model={path}", "--templates", "{}")
    with pytest.raises(ConfigError, match="is the only class"):
        vidjax.from_pretrained(path).predict(video, classes=["cooking"])
