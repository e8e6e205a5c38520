"""A model with its weights, called on arrays and on video files."""

import copy
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from videos import encode, moving_texture

import vidjax
from vidjax.cli import main
from vidjax.errors import ConfigError, VideoError, WeightsError
from vidjax.evaluation.features.store import FeatureStore
from vidjax.weights.backbones import load_backbone
from vidjax.weights.predictors import make_caption_generator


@pytest.fixture(scope="module")
def model(classifier_run):
    """A model with three classes, for clips of 4 frames of 16 x 16 pixels."""
    return vidjax.from_pretrained(classifier_run)


def uint8_clips(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def close(ours, theirs, atol=2e-5):
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=atol), ours, theirs)


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (70, 18)])
def test_floats_in_0_to_1_and_single_clips_give_the_outputs_of_uint8_batches(model, size):
    clips = uint8_clips(2, 4, *size)
    found = model(clips)
    assert set(found) == {"tokens", "pooled", "logits"}
    if size == (16, 16):  # other sizes are rounded to uint8 after resizing
        close(model(clips / 255), found)
    close(model(clips.astype(np.float32) / 255), model(clips / 255))
    close(model(clips[1]), {name: array[1] for name, array in found.items()})
    assert model(clips[1] / 255)["logits"].shape == (3,)


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (70, 18), (10, 13)])
def test_a_call_is_the_same_function_under_jit_vmap_and_grad(model, size):
    clips = uint8_clips(3, 4, *size)
    if size == (16, 16):  # for other sizes the last bit of a pixel may be rounded differently: test_fit_clips.py
        called = model(clips)
        close(jax.jit(model)(clips), called)
        close(jax.vmap(model)(clips), called)
    floats = jnp.asarray(clips / 255, jnp.float32)
    called = model(floats)
    close(jax.jit(model)(floats), called)
    close(jax.jit(jax.vmap(model))(floats), called)
    loss = lambda clip: model(clip)["logits"][1]  # noqa: E731
    gradient = jax.grad(loss)(floats[0])
    towards = np.random.default_rng(1).normal(size=gradient.shape).astype(np.float32)
    step = 1e-2 * towards
    inside = floats[0] * 0.5 + 0.25  # both finite differences stay in [0, 1]
    wanted = (model(inside + step)["logits"][1] - model(inside - step)["logits"][1]) / 2
    np.testing.assert_allclose(jnp.vdot(jax.grad(loss)(inside), step), wanted, rtol=0.05, atol=1e-5)
    assert float(jnp.abs(gradient).max()) > 0


@pytest.mark.parametrize("family", ["timesformer", "vivit", pytest.param("videomamba", marks=pytest.mark.slow)])
def test_every_family_can_be_called(family):
    backbone = load_backbone(f"random:{family}_tiny", num_frames=2, image_size=16)
    clips = (uint8_clips(2, 2, 24, 20) / 255).astype(np.float32)
    called = backbone(clips)["pooled"]
    copied = pickle.loads(pickle.dumps(backbone))
    np.testing.assert_allclose(jax.jit(jax.vmap(copied))(clips)["pooled"], called, atol=2e-5)
    gradient = jax.grad(lambda clips: backbone(clips)["pooled"][0, 0])(clips)
    assert np.abs(gradient[0]).max() > 0
    np.testing.assert_array_equal(gradient[1], 0)


def test_apply_takes_parameters_as_flax_does(model):
    clips = uint8_clips(2, 4, 20, 30)
    close(model.apply({"params": model.params}, clips), model(clips))
    doubled = jax.tree.map(lambda leaf: 2 * leaf, model.params["head"])
    found = model.apply({"params": model.params | {"head": doubled}}, clips)["logits"]
    close(found, 2 * model(clips)["logits"], 1e-4)
    crops = uint8_clips(2, 4, 16, 16)
    normalised = (crops / np.float32(255) - np.float32(model.mean)) / np.float32(model.std)
    close(model.module.apply({"params": model.params}, normalised), model(crops))
    gradient = jax.grad(lambda params: model.apply({"params": params}, clips)["logits"][:, 0].sum())(model.params)
    np.testing.assert_allclose(gradient["head"]["bias"], [2, 0, 0], atol=1e-6)
    with pytest.raises(ConfigError, match=r'pass the parameters as \{"params": ...\}'):
        model.apply(model.params, clips)


def test_dropout_and_drop_path_are_drawn_when_training(make_run):
    model = vidjax.from_pretrained(make_run(model__head_dropout=0.5))
    clips, key = uint8_clips(3, 4, 16, 16), jax.random.key(0)
    variables = {"params": model.params}
    still = model.apply(variables, clips)["logits"]
    one, same, other = (
        model.apply(variables, clips, train=True, rngs={"dropout": jax.random.fold_in(key, n)}) for n in (0, 0, 1)
    )
    close(one, same, 0)
    assert not np.allclose(one["logits"], other["logits"])
    assert not np.allclose(one["logits"], still)


def test_few_sizes_of_batches_are_compiled_and_padding_changes_nothing(model):
    clips = uint8_clips(37, 4, 16, 16)
    copied = copy.copy(model)  # it compiles separately
    with compilations() as compiled:
        found = {count: copied(clips[:count]) for count in (1, 2, 3, 4, 5, 6, 7, 8, 37)}
    assert len([name for name in compiled if "_of_any_size" in name]) == 5  # 1, 2, 4, 8, 32
    for count, outputs in found.items():
        assert {len(array) for array in outputs.values()} == {count}
        close(outputs, {name: array[:count] for name, array in found[37].items()})
    with compilations() as compiled:
        copied(uint8_clips(6, 4, 33, 57))  # another size of frames
        copied(uint8_clips(8, 4, 16, 21))
    assert not [name for name in compiled if "_of_any_size" in name]


def test_padding_does_not_affect_other_clips(model, monkeypatch):
    clips = uint8_clips(3, 4, 16, 16)
    found = model(clips)
    monkeypatch.setattr(np, "zeros", lambda shape, dtype: np.full(shape, 200, dtype))
    jax.tree.map(np.testing.assert_array_equal, model(clips), found)


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        (uint8_clips(1, 6, 16, 16), r"clips have 6 frames, but the model takes 4; sample 4 frames, .*num_frames=6"),
        (uint8_clips(6, 16, 16), "clips have 6 frames"),
        (np.zeros((4, 16, 16), np.uint8), r"shape \(4, 16, 16\) is not a clip; .*\(t h w 3\) or \(b t h w 3\)"),
        (np.zeros((4, 16, 16, 1), np.uint8), r"shape \(4, 16, 16, 1\) is not a clip"),
        (np.zeros((4, 16, 16, 3), np.int32), "clips of int32 have no known range"),
        (np.zeros((0, 4, 16, 16, 3), np.uint8), "are empty"),
        (np.full((4, 16, 16, 3), 255.0), r"range from 255 to 255; .*floats in \[0, 1\]"),
        (np.full((4, 16, 16, 3), -2.1, np.float32), r"range from -2.1 to -2.1"),
        (np.full((4, 16, 16, 3), np.nan, np.float32), "range from nan to nan"),
    ],
)
def test_invalid_clips_are_refused_with_a_remedy(model, clips, words):
    with pytest.raises(ConfigError, match=words):
        model(clips)


def test_wrong_clips_are_refused_while_they_are_traced(model):
    with pytest.raises(ConfigError, match="clips have 6 frames, but the model takes 4"):
        jax.jit(model)(uint8_clips(1, 6, 16, 16))


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "deep", "pickle"]
)
def test_copies_are_the_same_model(model, again):
    clips = uint8_clips(2, 4, 16, 16)
    found = model(clips)  # compiles something
    other = again(model)
    jax.tree.map(np.testing.assert_array_equal, other(clips), found)
    assert (other.spec, other.labels, other.notes, other.clip_recipe) == (
        model.spec, model.labels, model.notes, model.clip_recipe,
    )  # fmt: skip


def test_the_repr_has_three_lines(model, pretraining_run, make_run):
    lines = repr(model).splitlines()
    assert len(lines) == 3
    assert "videomae, 3 classes, 0.5 M parameters, from" in lines[0]
    assert "clips: 4 frames (every 4th frame of the video), 16 x 16 pixels; uint8 or floats in [0, 1]" in lines[1]
    assert "labels: none; notes: 1" in lines[2]
    for other in (pretraining_run, make_run(task="regression", data__name="motion")):
        assert len(repr(vidjax.from_pretrained(other)).splitlines()) == 3


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder data set of one wide video of 30 frames."""
    folder = tmp_path_factory.mktemp("videos")
    path = folder / "train" / "a" / "video.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(encode(moving_texture(30, 32, 44)))
    return folder


@pytest.fixture(scope="module")
def video(videos):
    return str(videos / "train" / "a" / "video.mp4")


VIEWS = [{}, {"clips": 2, "crops": 3, "stride": 2}, {"merge": "max", "score": "sigmoid"}, {"every": 0.3, "top": 2}]


@pytest.mark.parametrize("views", VIEWS, ids=str)
def test_predict_returns_what_the_verb_prints(model, video, capsys, views):
    options = [word for name, value in views.items() for word in (f"--{name}", str(value))]
    capsys.readouterr()
    assert main(["predict", video, "--model", model.source, "--json", *options]) == 0
    [answer] = json.loads(capsys.readouterr().out)
    assert model.predict(video, **views) == answer


def test_a_second_video_is_predicted_without_compiling(model, video, tmp_path):
    (tmp_path / "other.mp4").write_bytes(encode(moving_texture(40, 40, 32, seed=1)))
    model.predict(video, clips=2)
    with compilations() as compiled:
        other = model.predict(tmp_path / "other.mp4", clips=2)
    assert compiled == []
    assert other["video"] == str(tmp_path / "other.mp4")


def test_a_regression_predicts_named_numbers(make_run, video, capsys):
    run = make_run(task="regression", data__name="motion", data__num_classes=2)
    (run / "labels.json").write_text(json.dumps(["right", "down"]))
    answer = vidjax.from_pretrained(run).predict(video)
    assert [value["name"] for value in answer["values"]] == ["right", "down"]
    with pytest.raises(ConfigError, match="score and merge are for classes"):
        vidjax.from_pretrained(run).predict(video, score="sigmoid")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, v: m.predict(v, strde=2), ConfigError, "predict has no option 'strde'; did you mean 'stride'?"),
        (lambda m, v: m.predict(v, clips=0), ConfigError, "clips=0 must be at least 1"),
        (lambda m, v: m.predict(v, stride=-1), ConfigError, "stride=-1 must be at least 0"),
        (lambda m, v: m.predict(v, every=0), ConfigError, "every=0 must be above 0 seconds"),
        (lambda m, v: m.predict(v, top=0), ConfigError, "top=0 must be at least 1"),
        (lambda m, v: m.predict(v, score="sigmod"), ConfigError, "did you mean 'sigmoid'"),
        (lambda m, v: m.predict("gone.mp4"), VideoError, "gone.mp4"),
        (lambda m, v: m.embed(v, feature=["cls"]), ConfigError, "embed has no option 'feature'; did you mean 'feat"),
        (lambda m, v: m.embed(v, features=["cls"]), ConfigError, "has no feature 'cls'; .* token_max, width_mean"),
        (lambda m, v: m.apply({}, v, trian=True), ConfigError, "apply has no option 'trian'; did you mean 'train'"),
        (
            lambda m, v: vidjax.from_pretrained(m.source, num_clases=2),
            ConfigError,
            "from_pretrained has no option 'num_clases'; did you mean 'num_classes'",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_refused_in_one_sentence(model, video, call, error, words):
    with pytest.raises(error, match=words):
        call(model, video)


def test_a_model_without_classes_or_captions_predicts_nothing_and_says_which_does(pretraining_run, video):
    with pytest.raises(WeightsError, match="predicts neither classes nor numbers; give a fine-tuned classifier"):
        vidjax.from_pretrained(pretraining_run).predict(video)
    with pytest.raises(WeightsError, match="generates no captions; give a run of task=captioning"):
        make_caption_generator(vidjax.from_pretrained(pretraining_run))


def test_a_video_shorter_than_a_clip_is_predicted_with_a_warning(model, tmp_path):
    (tmp_path / "short.mp4").write_bytes(encode(moving_texture(6, 32, 32)))
    with pytest.warns(
        UserWarning, match=r"has 6 frames, but a clip spans 13; its last frame is repeated \(see stride\)"
    ):
        model.predict(tmp_path / "short.mp4")


@pytest.mark.parametrize("source", ["classifier_run", "pretraining_run"])
def test_embed_returns_what_the_verb_stores(source, videos, video, tmp_path, request, capsys):
    run = request.getfixturevalue(source)
    words = ["--features", "tokens,token_mean,width_mean,pooled", "--dtype", "float32", "--stride", "3"]
    assert main(["embed", "--model", str(run), "--data", str(videos), "--out", str(tmp_path / "out"), *words]) == 0
    store = FeatureStore.open(tmp_path / "out")
    found = vidjax.from_pretrained(run).embed(video, features=["tokens", "token_mean", "pooled"], stride=3)
    assert set(found) == {"tokens", "token_mean", "pooled"}
    for name, array in found.items():
        np.testing.assert_array_equal(array, store.array(name)[0], name)
    usual = vidjax.from_pretrained(run).embed(video)
    assert {name: array.shape for name, array in usual.items()} == {
        "token_mean": (96,), "token_max": (96,), "width_mean": (8,), "pooled": (96,),
    }  # fmt: skip
