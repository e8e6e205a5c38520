"""What every `DatasetSpec` states, and the errors for an incomplete one."""

import pickle

import pytest

from vidjax.config import DataConfig, EvalConfig
from vidjax.data import open_source
from vidjax.data.datasets import DATASETS, DatasetSpec
from vidjax.data.sources.annotations import ANNOTATIONS, LABEL, TARGET
from vidjax.errors import ConfigError, DataError

EVERY = sorted(DATASETS)


def test_these_are_the_data_sets():
    assert EVERY == [
        "activitynet_captions", "afew_va", "breakfast", "charades", "coin", "coin_domains", "diving48", "epic_kitchens",
        "folder", "hmdb51", "jester", "kinetics400", "kinetics600", "kinetics700", "kinetics710", "lvu", "motion",
        "motion_digits", "msrvtt", "ssv2", "synthetic", "ucf101", "vatex",
    ]  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_a_protocol_is_made_of_keys_of_the_configuration(name):
    protocol = DATASETS[name].protocol
    DataConfig(**protocol.get("data", {}))
    EvalConfig(**protocol.get("eval", {}))
    assert set(protocol) <= {"data", "eval"}


@pytest.mark.parametrize("name", EVERY)
def test_rows_with_a_target_name_its_numbers_and_published_splits_have_videos(name):
    spec = DATASETS[name]
    assert bool(spec.target_names) == (TARGET in spec.annotations)
    assert all(count > 0 for count in spec.videos.values())
    assert not spec.videos or set(spec.splits) <= set(spec.videos)


@pytest.mark.parametrize("name", EVERY)
def test_an_annotation_that_rows_do_not_carry_is_refused_with_the_data_sets_that_have_it(name, tmp_path):
    data = DataConfig(name=name, root=str(tmp_path))
    for annotation in ANNOTATIONS.keys() - set(DATASETS[name].annotations):
        with pytest.raises(DataError, match=f"data.name={name} ") as refusal:
            open_source(data, "train", annotation)
        able = [other for other in EVERY if annotation in DATASETS[other].annotations]
        assert annotation == LABEL or str(refusal.value).endswith(", ".join(able))


@pytest.mark.parametrize("name", [name for name in EVERY if DATASETS[name].needs_root])
def test_a_missing_root_is_reported(name):
    with pytest.raises(DataError, match=r"data.root is empty; set --config.data.root=DIR"):
        open_source(DataConfig(name=name), "train", DATASETS[name].annotations[0])


@pytest.mark.parametrize("name", EVERY)
def test_specs_can_be_sent_to_other_processes(name):
    assert pickle.loads(pickle.dumps(DATASETS[name])).title == DATASETS[name].title


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"annotations": ("labels",)},
            r"toys: annotations=\('labels',\) must be some of label, target, action, inter",
        ),
        ({"annotations": ()}, r"toys: annotations=\(\) must be some of"),
        ({"annotations": ("label", "target")}, "toys: rows with label, target need the function open_split"),
        ({"listing": len}, "toys: listing needs find_annotations"),
        ({"find_annotations": len}, r"toys: find_annotations needs the function listing \(or inventory\)"),
    ],
)
def test_an_incomplete_spec_is_refused_where_it_is_defined(fields, sentence):
    with pytest.raises(ConfigError, match=sentence):
        DatasetSpec(title="toys", layout="none", **fields)
