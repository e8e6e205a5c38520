"""Evaluation over padded, failing and differently sharded batches, with a toy objective of known answers."""

import csv
import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from jax.sharding import AxisType

from vidjax.config import Config, EvalConfig
from vidjax.data.clips.recipe import ClipRecipe
from vidjax.data.sources.rows import Row
from vidjax.errors import ConfigError, VideoError
from vidjax.evaluation import multiview
from vidjax.evaluation.classification import ClassificationEvaluator, summarise
from vidjax.evaluation.result_files import VideoScores

CLASSES, VIEWS, PIXELS = 6, 3, 4


class Lookup:
    """Reads its logits from the first pixels, so that a test can write the scores of each view into the video."""

    def scores(self, params, clips):
        return clips[:, 0, 0, :CLASSES, 0].astype(jnp.float32) * params["scale"]


@dataclasses.dataclass
class Rows:
    labels: tuple[str, ...] | None
    videos: np.ndarray  # (n v t h w c)
    targets: np.ndarray
    failures: dict[int, str] = dataclasses.field(default_factory=dict)

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return Row(f"{index}.mp4", int(self.targets[index]), f"clip-{index}")

    def batches(self, size):
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            pad = size - len(rows)
            ok = np.array([r not in self.failures for r in rows])
            code = [VideoError.REASONS.index(self.failures[r]) if r in self.failures else -1 for r in rows]
            video = self.videos[rows] * ok[:, None, None, None, None, None]
            yield {
                "video": np.pad(video, [(0, pad)] + [(0, 0)] * 5),
                "label": np.pad(self.targets[rows], (0, pad)).astype(np.int32),
                "valid": np.arange(size) < len(rows),
                "decoded": np.pad(ok, (0, pad)),
                "index": np.pad(rows, (0, pad), constant_values=-1),
                "failed_reason": np.pad(np.array(code, np.int8), (0, pad), constant_values=-1),
            }


def mesh_of(data, fsdp, tensor=1):
    devices = jax.devices()[: data * fsdp * tensor]
    return jax.make_mesh((data, fsdp, tensor), ("data", "fsdp", "tensor"), (AxisType.Auto,) * 3, devices=devices)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    videos = rng.integers(0, 9, (13, VIEWS, 1, PIXELS, 8, 3), dtype=np.uint8)
    return Rows(tuple("abcdef"), videos, rng.integers(0, CLASSES, 13))


def evaluate(rows, mesh, size, rule="sum_logits"):
    step = multiview.make_eval_step(Lookup(), rule, mesh)
    params = {"scale": jnp.float32(1.0)}
    return multiview.score_videos(step, params, rows.batches(size), len(rows), mesh)


@pytest.mark.parametrize(("shape", "size"), [((1, 1), 1), ((1, 1), 5), ((2, 4), 8), ((4, 1, 2), 4)])
def test_every_video_is_scored_once_on_any_mesh_and_batch(rows, shape, size):
    result = evaluate(rows, mesh_of(*shape), size)
    expected = rows.videos[:, :, 0, 0, :CLASSES, 0].astype(np.float32).sum(1)
    np.testing.assert_array_equal(result.scores, expected)
    np.testing.assert_array_equal(result.labels, rows.targets)
    assert result.scored.all()
    assert set(result.reasons) == {""}


def test_unscored_videos_count_as_wrong_and_keep_their_reason(rows):
    rows.targets = rows.videos[:, :, 0, 0, :CLASSES, 0].sum(1, dtype=np.int64).argmax(-1)  # the toy is always right
    rows.failures = {2: "truncated", 7: "missing"}
    result = evaluate(rows, mesh_of(2, 1), 4)
    results = summarise(result, ClipRecipe(merge="sum_logits"))
    assert results["eval/num_scored"] == 11
    assert results["eval/num_expected"] == 13
    assert results["eval/top1"] == pytest.approx(11 / 13)
    assert results["eval/top1_scored"] == 1.0
    assert [result.reasons[i] for i in (2, 7)] == ["truncated", "missing"]


def test_an_unscored_video_of_class_zero_is_not_right_because_its_scores_are_zero(rows):
    rows.targets = np.zeros(13, np.int64)
    rows.failures = dict.fromkeys(range(13), "corrupt")
    results = summarise(evaluate(rows, mesh_of(1, 1), 13), ClipRecipe())
    assert results["eval/top1"] == results["eval/top5"] == results["eval/num_scored"] == 0


def test_top5_is_only_reported_with_more_than_five_classes():
    for classes in (3, 5, 6):
        scores = np.eye(classes, dtype=np.float32)
        found = VideoScores(scores, np.arange(classes), np.ones(classes, bool), ("",) * classes)
        results = summarise(found, ClipRecipe())
        assert results["eval/top1"] == 1
        assert ("eval/top5" in results) == (classes > 5)
        said = ClassificationEvaluator.sentence(None, results, found)
        assert "top-1 100.0%" in said
        assert ("top-5" in said) == (classes > 5)


def test_scores_that_are_not_finite_are_unscored(rows):
    class Broken(Lookup):
        def scores(self, params, clips):
            logits = super().scores(params, clips)
            return jnp.where(clips[:, :1, 0, 0, 0].astype(jnp.float32) == 8, jnp.nan, logits)

    step = multiview.make_eval_step(Broken(), "mean_softmax", mesh_of(1, 1))
    result = multiview.score_videos(step, {"scale": jnp.float32(1.0)}, rows.batches(13), 13, mesh_of(1, 1))
    broken = (rows.videos[:, :, 0, 0, 0, 0] == 8).any(1)
    assert 0 < broken.sum() < 13
    np.testing.assert_array_equal(result.scored, ~broken)
    assert {r for r, bad in zip(result.reasons, broken, strict=True) if bad} == {multiview.NOT_FINITE}


def test_a_video_that_is_evaluated_twice_is_an_error(rows):
    batches = [*rows.batches(13), *rows.batches(13)]
    mesh = mesh_of(1, 1)
    with pytest.raises(RuntimeError, match="13 twice"):
        multiview.score_videos(
            multiview.make_eval_step(Lookup(), "max", mesh), {"scale": jnp.float32(1.0)}, batches, 13, mesh
        )


def test_the_step_is_compiled_once_for_a_pass_with_a_padded_last_batch(rows):
    mesh = mesh_of(2, 2)
    step = multiview.make_eval_step(Lookup(), "max", mesh)
    with compilations() as compiled:
        multiview.score_videos(step, {"scale": jnp.float32(1.0)}, rows.batches(4), 13, mesh)
    assert compiled.count("jit(step)") == 1


def test_an_indivisible_batch_is_refused_with_one_that_fits():
    config = Config(eval=EvalConfig(batch=6))
    with pytest.raises(ConfigError, match="use 8"):
        multiview.eval_batch_size(config, mesh_of(2, 2))


def test_an_accelerator_scores_several_videos_at_once():
    """Only the devices of the mesh are needed."""
    for platform, batch in (("cpu", 4), ("gpu", 32), ("tpu", 32)):
        devices = np.full((2, 2, 1), SimpleNamespace(platform=platform))
        mesh = SimpleNamespace(devices=devices, size=4, shape={"data": 2, "fsdp": 2, "tensor": 1})
        assert multiview.eval_batch_size(Config(), mesh) == batch


def test_files_hold_one_line_per_video_and_a_confusion_matrix_of_scored_videos(rows, tmp_path, capsys):
    rows.failures = {3: "truncated"}
    result = evaluate(rows, mesh_of(1, 1), 5)
    results = summarise(result, ClipRecipe(merge="sum_logits"))
    ClassificationEvaluator(Config(), Lookup(), rows, mesh_of(1, 1), tmp_path).write(results, result)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(13))
    failed = {"index": 3, "id": "clip-3", "label": int(rows.targets[3]), "top": [], "scores": []}
    assert lines[3] == failed | {"scored": False, "reason": "truncated"}
    assert len(lines[0]["top"]) == 5
    right = sum(line["scored"] and line["top"][0] == line["label"] for line in lines)
    assert right / 13 == pytest.approx(results["eval/top1"])
    table = list(csv.reader((tmp_path / "confusion_matrix.csv").open()))
    assert table[0][1:] == list("abcdef")
    counts = np.array([[int(cell) for cell in row[1:]] for row in table[1:]])
    assert counts.sum() == 12
    assert np.trace(counts) == right
    assert (tmp_path / "pictures" / "confusion_matrix.png").stat().st_size > 1000
    assert "scored 12 of 13" in capsys.readouterr().out.replace("\n", " ")


def test_a_head_with_more_classes_than_the_data_names_is_written_with_numbers(rows, tmp_path):
    rows.labels = ("a", "b")
    result = evaluate(rows, mesh_of(1, 1), 13)
    evaluator = ClassificationEvaluator(Config(), Lookup(), rows, mesh_of(1, 1), tmp_path)
    evaluator.write(summarise(result, ClipRecipe()), result)
    header = next(csv.reader((tmp_path / "confusion_matrix.csv").open()))
    assert header[1:] == ["a", "b", "2", "3", "4", "5"]
    assert not (tmp_path / "quarantine.jsonl").exists()  # nothing failed
