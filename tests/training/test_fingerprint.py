"""What may differ when a run is resumed, for every key of the configuration."""

import dataclasses
import json

import pytest
import toy

from vidjax import config as config_lib
from vidjax.config.types import plain
from vidjax.errors import ConfigError, ResumeError, WeightsError
from vidjax.training import resume_check
from vidjax.training.checkpoints import Checkpoints
from vidjax.weights import read_run

# The place of a run, its speed, what it writes when, how it is scored, and its length.
MAY_CHANGE = {
    "mode", "init_from", "init_label_map", "align.teacher_from", "teacher.weights",
    "caption.decoder_from", "caption.tokenizer", "caption.beams", "caption.length_penalty",
    "contrastive.text_from", "contrastive.tokenizer",  # other tokens are other data, which the content id shows
    "model.remat", "model.unroll", "model.attention", "train.epochs", "train.steps", "train.accumulate",
    "data.root", "data.stage", "data.eval_split", "data.cubes", "data.workers", "data.threads", "data.prefetch",
    "data.cache_gb", "data.checksums", "data.open_ended", "data.stall_seconds", "train.start_seconds",
    "train.peer_seconds",
    "train.log_every", "train.eval_every", "train.checkpoint_every", "train.keep_latest", "train.max_nonfinite",
    "train.roll_back_after", "train.max_roll_backs", "optim.skip_spikes", "optim.spike_window",
    "train.profile_start", "train.profile_steps", "train.wandb", "train.compile_cache",
}  # fmt: skip
SECTIONS_THAT_MAY = ("probe.", "mesh.", "eval.")
LENGTH = "schedules follow the new length of the run from here on"


def may_change(key):
    return key in MAY_CHANGE or key.startswith(SECTIONS_THAT_MAY)


def another(key, value):
    """A value of the same type that no run has."""
    hint = config_lib.hint_of(key)
    if choices := [name for name in config_lib.choices(key) if name and name not in (value, *_as_tuple(value))]:
        return choices[:1] if isinstance(value, tuple) else choices[0]
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value, *(value[:1] or (1,)))
    if plain(hint) is float:
        return value / 2 + 0.125
    return {int: value + 1 if isinstance(value, int) else 0, str: f"{value}x"}[plain(hint)]


def _as_tuple(value):
    return value if isinstance(value, tuple) else ()


def identity(config):
    return resume_check.fingerprint(config, toy.ToySource())


def changed(config, key, value):
    section, _, name = key.partition(".")
    return dataclasses.replace(config, **{section: changed(getattr(config, section), name, value) if name else value})


KEYS = dict(config_lib.flatten(dataclasses.asdict(config_lib.Config())))


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_refused_or_noted_as_its_type_says(key):
    before = config_lib.Config()
    value = "videomae_small" if key == "model.name" else another(key, KEYS[key])
    after = changed(before, key, value)
    saved, current = identity(before), identity(after)
    if may_change(key):
        notes = resume_check.compare(saved, current, "here")
        assert len(notes) == 1
        assert notes[0].startswith(f"{key} was ")
        assert (LENGTH in notes[0]) == (key in ("train.steps", "train.epochs"))
    else:
        with pytest.raises(ResumeError, match=f"{key} was .*is now .*: this is not the experiment that here holds"):
            resume_check.compare(saved, current, "here")


def test_changes_of_a_familys_own_fields_are_refused_except_in_how_it_is_computed():
    def spec(**fields):
        model = dataclasses.replace(config_lib.Config().model, name="videomamba_tiny", spec=fields)
        return identity(dataclasses.replace(config_lib.Config(), model=model))

    notes = resume_check.compare(spec(), spec(scan="associative"), "here")
    assert notes == ["model.spec.scan was None, is now associative"]
    for fields in ({"tubelet_size": 2}, {"width": 64}, {"merge_directions": "mean"}, {"norm_eps": 1e-6}):
        with pytest.raises(ResumeError, match=f"model.spec.{next(iter(fields))} was"):
            resume_check.compare(spec(), spec(**fields), "here")
    assert resume_check.compare(spec(), spec(tubelet_size=1), "here") == []  # the preset's value, given explicitly


def test_a_setting_that_only_one_side_knows_is_refused():
    now = identity(config_lib.Config())
    renamed = json.loads(json.dumps(now))
    renamed["same"]["data.resize_by"] = renamed["same"].pop("data.interpolation")
    with pytest.raises(ResumeError, match=r"data\.interpolation was bilinear, is now not known; data\.resize_by"):
        resume_check.compare(now, renamed, "here")


@pytest.mark.parametrize("schema", [None, 0, config_lib.SCHEMA + 1])
def test_a_configuration_of_another_schema_is_refused_in_one_sentence(schema):
    tree = config_lib.to_saved(config_lib.Config())
    assert config_lib.from_saved(json.loads(json.dumps(tree))) == config_lib.Config()
    tree.pop("schema") if schema is None else tree.update(schema=schema)
    words = "no schema number" if schema is None else f"schema {schema}"
    with pytest.raises(ConfigError, match=f"it has {words}, but this version of vidjax reads schema"):
        config_lib.from_saved(tree)


def test_a_checkpoint_of_another_schema_is_neither_resumed_nor_read(tmp_path, monkeypatch):
    from vidjax.training import loop

    config = toy.toy_config(train__steps=2)
    later = config_lib.SCHEMA + 1
    monkeypatch.setattr("vidjax.training.checkpoints.SCHEMA", later)
    loop.train(config, tmp_path, source=toy.ToySource(), objective=toy.ToyObjective(), make_batches=toy.ToyBatches)
    monkeypatch.undo()
    longer = toy.toy_config(train__steps=4)
    with pytest.raises(ResumeError, match=f"cannot be resumed: it has schema {later}, but this version of vidjax"):
        loop.train(longer, tmp_path, source=toy.ToySource(), objective=toy.ToyObjective(), make_batches=toy.ToyBatches)
    with pytest.raises(ResumeError, match=rf"checkpoint 2 of .* cannot be read: it has schema {later}"):
        read_run.read_params(tmp_path)
    with pytest.raises(WeightsError, match=f"it has schema {later}"):
        read_run.read_model(tmp_path)
    assert Checkpoints(tmp_path).steps() == [2]


def test_a_refusal_begins_with_what_the_user_did_and_ends_with_what_helps():
    def run(length, content_id, **data):
        config = config_lib.Config()
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, **data))
        return resume_check.fingerprint(config, toy.ToySource(length=length, content_id=content_id))

    before = run(43, "aaaa")
    with pytest.raises(ResumeError) as refused:
        resume_check.compare(before, run(51, "bbbb", val_fraction=0.1), "runs/one")
    assert str(refused.value) == (
        "data.val_fraction was 0.2, is now 0.1 (which changes the training videos: number of videos was 43, is now "
        "51): this is not the experiment that runs/one holds. Set it back to resume, or choose another workdir"
    )
    with pytest.raises(ResumeError, match=r"run in runs/one: number of videos was 43, is now 51\. Restore them"):
        resume_check.compare(before, run(51, "bbbb"), "runs/one")
    with pytest.raises(ResumeError, match=r"runs/one: some of their names, classes or sizes differ\. Restore"):
        resume_check.compare(before, run(43, "bbbb"), "runs/one")
