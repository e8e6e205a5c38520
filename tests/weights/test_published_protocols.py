"""Public weights are used by the protocol of their published accuracy, without a flag."""

import json

import flax.serialization
import numpy as np
import pytest

import vidjax
from vidjax import main
from vidjax.data.sources.synthetic import SyntheticSource
from vidjax.models import build_model
from vidjax.models.timesformer import TimeSformerSpec
from vidjax.models.videomamba import VideoMambaSpec
from vidjax.models.vivit import ViViTSpec
from vidjax.models.zoo import CLASSES, ZOO
from vidjax.training import evaluate_run
from vidjax.weights.clip_recipes import published_recipe
from vidjax.weights.predictors import make_predictor

torch = pytest.importorskip("torch", reason="the files are PyTorch's (extra: test)")
pytest.importorskip("transformers", reason="the models are those of transformers (extra: test)")
import peers  # noqa: E402 - needs torch
import timesformer_torch  # noqa: E402 - needs torch
import videomamba_torch  # noqa: E402 - needs torch
import vivit_torch  # noqa: E402 - needs torch
from timesformer_peer import peer  # noqa: E402 - needs torch and transformers
from videos import encode, moving_texture  # noqa: E402

PIXELS = ((0.5,) * 3, (0.2,) * 3)


def results_of(family):
    return [
        (f"{family}_{size}", result)
        for size, facts in ZOO[family].items()
        for result in facts.results
        if result.weights and result.stride is not None
    ]


def result_of(family, weights):
    return next(result for _, result in results_of(family) if result.weights.endswith(weights))


def protocol(recipe):
    return recipe.sampling, recipe.stride, recipe.interpolation, recipe.channels


def published(result):
    return result.sampling, max(result.stride, 1), result.interpolation, result.channels


@pytest.mark.parametrize("family", [family for family in ZOO if family != "clip"])
def test_weights_in_the_table_have_its_protocol(family):
    for name, result in results_of(family):
        classes = CLASSES[result.data]
        spec = build_model(name, num_classes=classes, **result.overrides).spec
        recipe = published_recipe(family, spec, classes, pixels=PIXELS, source=result.weights)
        assert protocol(recipe) == published(result), result.weights


def videomae(path):
    state = peers.official(peers.classifier(hidden_size=384, num_attention_heads=6, num_labels=51, num_frames=16))
    torch.save({"module": state}, path)


def timesformer(path):
    spec = TimeSformerSpec(64, 1, 1, 16, patch_size=4, num_frames=64, image_size=8)
    state = {f"model.{key}": value.detach().float() for key, value in timesformer_torch.random_state(spec, 174).items()}
    torch.save({"model_state": state}, path)


def videomamba(path):
    spec = VideoMambaSpec(16, 1, patch_size=4, num_frames=16, image_size=8, tubelet_size=1)
    torch.save({"model": videomamba_torch.VideoMamba(spec, 174).state_dict()}, path)


def vivit(path):
    spec = ViViTSpec(12, 1, 3, 20, "encoder", 2, patch_size=4, image_size=8, num_frames=32, tubelet_size=2)
    path.write_bytes(flax.serialization.msgpack_serialize({"params": vivit_torch.scenic_state(spec, 400)}))


@pytest.mark.parametrize(
    ("write", "weights"),
    [
        (videomae, "vit_g_hybrid_pt_1200e_k710_it_hmdb51_ft.pth"),
        (timesformer, "TimeSformer_divST_64_224_SSv2.pyth"),
        pytest.param(videomamba, "videomamba_t16_ssv2_f16_res224.pth", marks=pytest.mark.slow),
        (vivit, "kinetics_400/vivit_base_16x2_fe/checkpoint"),
    ],
)
def test_predict_takes_clips_as_the_table_says(write, weights, tmp_path):
    path = tmp_path / weights
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    predictor = make_predictor(vidjax.from_pretrained(path))
    assert protocol(predictor.recipe) == published(result_of(write.__name__, weights))


@pytest.fixture(scope="module")
def something(tmp_path_factory):
    """A Something-Something TimeSformer in the layout of transformers."""
    folder = tmp_path_factory.mktemp("something")
    peer(TimeSformerSpec(16, 1, 2, 24, patch_size=4, num_frames=8, image_size=16), 174).float().save_pretrained(folder)
    return folder


def test_an_evaluation_of_public_weights_has_their_model_and_their_published_views(something):
    words = ["vidjax", "--config=finetune_k400:base", "--config.mode=evaluate", f"--config.init_from={something}"]
    config = main.with_weights(words, main.read_config(words[1:]))
    assert (config.model.spec["width"], config.data.image_size, config.data.num_frames) == (16, 16, 8)
    assert (config.data.sampling, config.data.channels, config.data.mean) == ("segment_middle", "bgr", (0.45,) * 3)
    assert (config.eval.clips, config.eval.crops, config.eval.merge) == (1, 3, "sum_logits")
    words.append("--config.eval.crops=1")
    assert main.with_weights(words, main.read_config(words[1:])).eval.crops == 1


def test_public_weights_are_scored_as_they_predict(tmp_path, capsys):
    """The labels of the folder are the predictions, except for one video."""
    weights = tmp_path / "weights"
    peer(TimeSformerSpec(16, 1, 2, 24, patch_size=4, num_frames=8, image_size=16), 3).float().save_pretrained(weights)
    clips = [encode(moving_texture(12, 24, 24, seed=number)) for number in range(4)]
    model, said = vidjax.from_pretrained(weights), []
    for number, clip in enumerate(clips):
        (tmp_path / f"{number}.mp4").write_bytes(clip)
        said.append(int(model.predict(tmp_path / f"{number}.mp4", top=1)["top"][0]["label"].split()[-1]))
    labels = [(said[0] + 1) % 3, *said[1:]]
    for number, label in enumerate(labels):
        path = tmp_path / "root" / "val" / "abc"[label] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clips[number])
    for name in "abc":
        (tmp_path / "root" / "train" / name).mkdir(parents=True)
        (tmp_path / "root" / "train" / name / "one.mp4").write_bytes(clips[0])
        (tmp_path / "root" / "val" / name).mkdir(exist_ok=True)
    command = [
        "vidjax", "--config=finetune", "--config.mode=evaluate", f"--config.init_from={weights}",
        f"--config.data.root={tmp_path / 'root'}", "--config.eval.clips=1", "--config.eval.crops=1",
        "--config.data.num_classes=3", "--config.model.dtype=float32", f"--workdir={tmp_path / 'scores'}",
    ]  # fmt: skip
    assert main.main(command) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "scores" / "results.json").read_text())
    assert (found["eval/top1"], found["eval/num_scored"]) == (0.75, 4)
    assert found["eval/weights"] == str(weights)


def test_a_head_of_more_classes_is_scored_by_the_label_map(something, tmp_path):
    """As when a Kinetics-710 head scores Kinetics-400; here 3 of 174 classes."""
    words = ["--config=finetune_k400:base", f"--config.init_from={something}"]
    (tmp_path / "map.json").write_text("[7, 0, 173]")
    words += [f"--config.init_label_map={tmp_path / 'map.json'}", "--config.data.num_classes=3"]
    config = main.read_config(words)
    params, _, _ = evaluate_run._params_to_score(config, config.init_from, SyntheticSource("val", 3))
    whole = vidjax.from_pretrained(something).params["head"]["kernel"]
    np.testing.assert_array_equal(params["head"]["kernel"], whole[:, [7, 0, 173]])
