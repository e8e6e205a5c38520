"""Scores of actions, by hand and against scenic's product of two softmaxes."""

import jax
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.config import MeshConfig
from vidjax.errors import ConfigError
from vidjax.evaluation.action import ActionEvaluator, action_hits, best_actions
from vidjax.evaluation.result_files import VideoScores
from vidjax.tasks import build_objective
from vidjax.training.mesh import make_mesh

# One clip per line: logits of two nouns and three verbs, the action, and whether noun, verb and both are right.
CLIPS = [
    ([5, 0, 1, 0, 0], (0, 0), (1, 1, 1)),
    ([5, 0, 1, 0, 0], (0, 1), (1, 0, 0)),
    ([5, 0, 1, 0, 0], (1, 0), (0, 1, 0)),
    ([0, 1, 0, 0, 3], (1, 2), (1, 1, 1)),
]


class Rows:
    labels = None

    def __len__(self):
        return len(CLIPS)

    def __getitem__(self, index):
        return type("Row", (), {"action": CLIPS[index][1], "id": f"P01_01_{index}", "video": "P01_01.MP4"})


def config_of(**changes):
    keys = {"task": "action", "model.name": "timesformer_tiny", "data.num_frames": 2, "data.image_size": 16}
    keys |= {"data.action_classes": (2, 3), "eval.merge": "sum_logits", "eval.clips": 4, "eval.crops": 1}
    config = config_lib.defaults()
    config.update_from_flattened_dict(keys | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


@pytest.fixture
def evaluator(tmp_path):
    config = config_of()
    return ActionEvaluator(config, build_objective(config, 0), Rows(), make_mesh(MeshConfig()), tmp_path)


def found(scored):
    scores = np.array([logits for logits, _, _ in CLIPS], np.float32)
    reasons = tuple("" if one else "missing" for one in scored)
    return VideoScores(np.where(np.array(scored)[:, None], scores, 0), np.zeros(4, int), np.array(scored), reasons)


def test_an_action_is_right_if_both_parts_are_and_unscored_clips_are_wrong(evaluator):
    results = evaluator.summarise(found([True] * 4), evaluator.recipe)
    noun, verb, action = np.mean([right for _, _, right in CLIPS], axis=0)
    assert [results[f"eval/{kind}_top1"] for kind in ("noun", "verb", "action")] == [noun, verb, action]
    assert (results["eval/noun_top5"], results["eval/constant_action_top1"]) == (1.0, 0.25)
    assert results["eval/action_top5"] == 1.0  # of six actions, none of these is the last
    some = evaluator.summarise(found([True, True, True, False]), evaluator.recipe)
    assert [some[f"eval/{kind}_top1"] for kind in ("noun", "verb", "action")] == [0.5, 0.5, 0.25]
    assert (some["eval/num_scored"], some["eval/num_expected"]) == (3, 4)


def test_the_files_list_the_best_actions_and_the_sentence_has_all_three_figures(evaluator):
    whole = found([True, True, True, False])
    lines = list(evaluator.lines(whole)["predictions.jsonl"])
    assert lines[0]["top"] == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]
    assert (lines[3]["top"], lines[3]["reason"], lines[3]["noun"], lines[3]["verb"]) == ([], "missing", 1, 2)
    results = evaluator.summarise(whole, evaluator.recipe)
    assert evaluator.sentence(results, whole) == (
        "scored 3 of 4 clips, 4 x 1 views: top-1 action 25.0%, noun 50.0%, verb 50.0%"
    )


@pytest.mark.parametrize("k", [1, 5])
def test_actions_rank_by_the_product_of_two_softmaxes(k):
    """scenic, vivit/model_utils.py:639-648, and its top k."""
    rng = np.random.default_rng(0)
    noun, verb = rng.normal(size=(200, 7)), rng.normal(size=(200, 4))
    actions = np.stack([rng.integers(0, 7, 200), rng.integers(0, 4, 200)], axis=1)
    product = np.asarray(jax.nn.softmax(noun))[:, :, None] * np.asarray(jax.nn.softmax(verb))[:, None]
    order = np.argsort(-product.reshape(200, -1), axis=1)[:, :k]
    hits = (order == (actions[:, 0] * 4 + actions[:, 1])[:, None]).any(axis=1)
    assert 0 < hits.sum() < 200
    np.testing.assert_array_equal(action_hits(noun, verb, actions, k), hits)
    assert best_actions(noun[3], verb[3], k) == [list(divmod(number, 4)) for number in order[3].tolist()]


def test_one_softmax_over_nouns_and_verbs_is_refused():
    with pytest.raises(ConfigError, match="merge=mean_softmax treats nouns and verbs as one distribution; use sum_log"):
        ActionEvaluator.check(config_of(eval__merge="mean_softmax"))
