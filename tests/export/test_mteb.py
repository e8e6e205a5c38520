"""mteb scores a vidjax model on a task of built-in videos: the embeddings are those of `embed` and `embed_text`."""

import numpy as np
import pytest
from clip_folder import write_clip

from vidjax.data import motion_videos
from vidjax.errors import ConfigError, VideoError
from vidjax.export.mteb import Encoder

mteb = pytest.importorskip("mteb", reason="it asks for the embeddings (make test-mteb)", exc_type=ImportError)
datasets = pytest.importorskip("datasets", reason="it holds the rows (make test-mteb)", exc_type=ImportError)

SPEC = motion_videos.MotionSpec(train_videos=24, val_videos=0, test_videos=10, size=32, texture=0.0)
LABELS = {"red": 0, "green": 1}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Built-in videos of red and green digits on black, by split: paths, captions and colours."""
    spec = motion_videos.dataclasses.replace(SPEC, colours=tuple(LABELS))
    root = motion_videos.prepare(str(tmp_path_factory.mktemp("motion") / "videos"), spec)
    found = {"train": [], "test": []}
    for line in motion_videos.annotations(root):
        found[line["split"]].append((f"{root}/{line['video']}", line["caption"], LABELS[line["caption"].split()[1]]))
    return found


def table(rows, files=True):
    """Rows as mteb gives them: the bytes of the files, or their paths."""
    videos = [open(path, "rb").read() if files else path for path, _, _ in rows]  # noqa: SIM115
    labels = [label for _, _, label in rows]
    return datasets.Dataset.from_dict({"video": videos, "label": labels}).cast_column("video", datasets.Video())


def about(**options):
    return mteb.TaskMetadata(
        description="Digits in two colours.", reference=None, dataset={"path": "none", "revision": "none"},
        eval_splits=["test"], eval_langs=["eng-Latn"], date=None, domains=[], task_subtypes=[], license=None,
        annotations_creators=None, dialect=[], sample_creation=None, bibtex_citation="", **options,
    )  # fmt: skip


def colour_task(rows):
    """A task of mteb: the colour of a digit, learned from the embeddings of 24 videos."""
    from mteb.abstasks.classification import AbsTaskClassification

    class Colours(AbsTaskClassification):
        metadata = about(
            name="Colours", type="VideoClassification", main_score="accuracy", modalities=["video"], category="v2c"
        )
        input_column_name = "video"
        samples_per_label = 8

        def load_data(self, **options):
            self.dataset = datasets.DatasetDict({split: table(rows[split]) for split in ("train", "test")})
            self.data_loaded = True

    return Colours()


def search_task(rows):
    """A task of mteb: videos found by their captions."""
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    class Captions(AbsTaskRetrieval):
        metadata = about(
            name="Captions",
            type="Any2AnyRetrieval",
            main_score="recall_at_1",
            modalities=["video", "text"],
            category="t2v",
        )

        def load_data(self, **options):
            test = rows["test"]
            keys = [str(number) for number in range(len(test))]
            corpus = datasets.Dataset.from_dict({"id": keys, "video": [path for path, _, _ in test]})
            self.dataset = {"default": {"test": {
                "corpus": corpus.cast_column("video", datasets.Video()),
                "queries": datasets.Dataset.from_dict({"id": keys, "text": [text for _, text, _ in test]}),
                "relevant_docs": {key: {key: 1} for key in keys}, "top_ranked": None,
            }}}  # fmt: skip
            self.data_loaded = True

    return Captions()


def score_of(encoder, task, batch=4):
    found = mteb.evaluate(encoder, task, cache=None, encode_kwargs={"batch_size": batch}, show_progress_bar=False)
    return found.task_results[0].scores["test"][0]


def test_a_task_of_videos_is_scored_from_end_to_end(rows):
    """Random weights tell red from green: a linear probe of the mean colour is right on all videos."""
    encoder = Encoder("random:videomae_tiny")
    assert score_of(encoder, colour_task(rows))["accuracy"] == 1.0
    meta = encoder.mteb_model_meta
    assert (meta.name, meta.modalities, meta.framework) == ("vidjax/random-videomae_tiny", ["video"], ["JAX"])
    assert meta.experiment_kwargs == {"feature": "pooled", "frames": "8 frames spread over the whole video"}


@pytest.mark.parametrize("files", [True, False])
def test_embeddings_equal_those_of_embed(rows, files):
    from torch.utils.data import DataLoader

    encoder = Encoder("random:videomae_tiny", feature="token_max", stride=2)
    loader = DataLoader(table(rows["test"], files), batch_size=4)
    found = encoder.encode(loader, task_metadata=colour_task(rows).metadata, hf_split="test", hf_subset="default")
    wanted = [encoder.model.embed(path, features=["token_max"])["token_max"] for path, _, _ in rows["test"]]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())  # other batches, float32


def test_texts_find_videos_with_the_embeddings_of_both_towers(rows, tmp_path):
    write_clip(tmp_path)
    encoder = Encoder(tmp_path)
    found = score_of(encoder, search_task(rows))
    texts = encoder.model.embed_text([text for _, text, _ in rows["test"]], truncate=True)
    videos = np.stack([encoder.model.embed(path, features=["embedding"])["embedding"] for path, _, _ in rows["test"]])
    right = (texts @ videos.T).argmax(axis=1) == np.arange(len(texts))
    assert found["recall_at_1"] == pytest.approx(right.mean(), abs=1e-5)
    meta = encoder.mteb_model_meta
    assert (meta.modalities, meta.embed_dim, meta.max_tokens) == (["video", "text"], 16, 12)
    assert len(meta.revision) == 8  # results of other weights in this folder are cached apart


def test_a_broken_video_is_named_by_its_row(rows):
    from torch.utils.data import DataLoader

    broken = datasets.Dataset.from_dict({"video": [open(rows["test"][0][0], "rb").read(), b"none"]})  # noqa: SIM115
    loader = DataLoader(broken.cast_column("video", datasets.Video()), batch_size=4)
    with pytest.raises(VideoError, match="Colours, test, row 1: "):
        Encoder("random:videomae_tiny").encode(
            loader, task_metadata=colour_task(rows).metadata, hf_split="test", hf_subset="default"
        )


def test_a_feature_that_is_no_vector_is_refused():
    with pytest.raises(ConfigError, match="has no feature 'tokens' with one vector per clip; it has token_mean"):
        Encoder("random:videomae_tiny", feature="tokens")
