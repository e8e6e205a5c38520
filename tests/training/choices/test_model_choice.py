"""The model of a run that leaves it open: its earlier one, that of init_from with its clips, or one by the machine."""

import dataclasses
import shutil

import peers
import pytest
import saved_runs
from random_runs import write_run

from vidjax.errors import ConfigError
from vidjax.main import main, read_config, with_model
from vidjax.models import preset
from vidjax.training import train
from vidjax.training.choices.model import CLIP_KEYS, choose_model, nearest_preset


def command(*settings, experiment="finetune"):
    return ["vidjax", f"--config={experiment}", *(f"--config.{setting}" for setting in settings)]


def chosen(tmp_path, *settings, experiment="finetune"):
    argv = command(*settings, experiment=experiment)
    return with_model(argv, read_config(argv[1:]), str(tmp_path / "new"))


def test_on_a_cpu_the_model_and_its_frames_are_small(tmp_path):
    config = chosen(tmp_path, "data.stride=2", experiment="pretrain")
    assert (config.model.name, config.data.stride) == ("videomae_tiny", 2)
    assert config.data.image_size < 224


def test_fine_tuning_takes_model_and_clips_of_the_run_that_it_starts_from(tmp_path):
    begun = saved_runs.make_config(
        task="masked_autoencoding", data__num_frames=8, data__stride=3, data__sampling="segment",
        data__interpolation="area", model__spec={"patch_size": 8, "tubelet_size": 4},
    )  # fmt: skip
    write_run(tmp_path / "run", begun, 0)
    config = chosen(tmp_path, f"init_from={tmp_path / 'run'}", "data.stride=5", "model.spec.init_std=0.3")
    assert config.model.name == "videomae_tiny"
    assert config.model.spec == {"patch_size": 8, "tubelet_size": 4, "init_std": 0.3}
    assert config.data.stride == 5  # the user's
    for key in set(CLIP_KEYS) - {"data.stride"}:
        assert getattr(config.data, key[5:]) == getattr(begun.data, key[5:]), key


def test_a_resumed_run_keeps_its_model_on_any_machine(tmp_path):
    begun = saved_runs.make_config(model__name="timesformer_tiny", data__image_size=32)
    write_run(tmp_path / "new", begun, 3)
    config = chosen(tmp_path)
    assert (config.model.name, config.data.image_size) == ("timesformer_tiny", 32)


def test_fine_tuning_public_weights_takes_their_sampling_size_and_normalisation(tmp_path):
    settings = {"image_size": 32, "num_frames": 8, "hidden_size": 96, "num_attention_heads": 4, "patch_size": 8}
    theirs = peers.transformers.TimesformerConfig(
        **settings, num_hidden_layers=4, intermediate_size=384, num_labels=400
    )
    peers.transformers.TimesformerForVideoClassification(theirs).save_pretrained(tmp_path / "weights")
    (tmp_path / "weights" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.45, 0.45, 0.45], "image_std": [0.225, 0.225, 0.225], "do_rescale": true}'
    )
    config = chosen(tmp_path, f"init_from={tmp_path / 'weights'}")
    assert config.model.name == "timesformer_tiny"
    assert (config.data.num_frames, config.data.image_size) == (8, 32)
    assert config.data.stride == 32  # TimeSformer's on Kinetics: 8 frames, each 32nd
    assert config.data.mean == pytest.approx((0.45,) * 3)
    assert config.data.std == pytest.approx((0.225,) * 3)


@pytest.mark.parametrize("name", ["videomae_tiny", "timesformer_base", "vivit_base_fe", "videomamba_middle"])
def test_a_spec_is_named_by_the_preset_that_it_differs_least_from(name):
    spec = preset(name)
    family, _, _ = name.partition("_")
    assert nearest_preset(family, spec) == (name, {})
    other = dataclasses.replace(spec, norm_eps=0.5, num_frames=2 * spec.num_frames)
    assert nearest_preset(family, other) == (name, {"norm_eps": 0.5})  # frames are data.num_frames


def test_init_from_without_a_video_model_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.init_from"):
        choose_model(str(tmp_path / "nothing.pth"), tmp_path)


def test_a_mistyped_init_from_or_one_without_a_checkpoint_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    write_run(tmp_path / "runs" / "pretrain", saved_runs.make_config(task="masked_autoencoding"), 0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"init_from: .*'runs/pretran' here; did you mean runs/pretrain\?"):
        choose_model("runs/pretran", tmp_path)
    with pytest.raises(ConfigError, match=r"init_from: .* did you mean runs/pretrain\?"):  # of a size that is named
        train(saved_runs.make_config(data__name="synthetic", init_from="runs/pretran"), tmp_path / "runs" / "new")
    shutil.rmtree(tmp_path / "runs" / "pretrain" / "checkpoints" / "0")
    with pytest.raises(ConfigError, match=r"config.init_from: runs/pretrain holds no checkpoint; wait until its run"):
        choose_model("runs/pretrain", tmp_path)
    assert not (tmp_path / "runs" / "new").exists()


def test_a_named_size_is_used_as_it_is(tmp_path, capsys):
    argv = ["vidjax", "--config=finetune:base", "--config.data.root=/nowhere", f"--workdir={tmp_path / 'run'}"]
    assert read_config(argv[1:3]).model.name == "videomae_base"
    assert main(argv) == 2
    assert "model:" not in capsys.readouterr().err
