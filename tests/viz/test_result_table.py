"""A report shows figures as people write them: in words, shares in percent, without rows that repeat others."""

import pytest

from vidjax.viz.result_table import class_blocks, results_table, rounded, words


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("eval/top1", 0.80273, "80.3%"),
        ("eval/top5", 1.0, "100.0%"),
        ("eval/constant_f1_macro", 0.02778, "2.8%"),
        ("eval/action_top1", 0.5, "50.0%"),
        ("eval/ece", 0.0903, "9.0%"),
        ("eval/bleu4", 0.125, "12.5%"),
        ("perf/data_wait", 0.2, "20.0%"),
        ("eval/ccc", 0.80273, "0.803"),  # from -1 to 1
        ("eval/cider", 0.9, "0.9"),  # from 0 to 10
        ("eval/log_loss", 0.54371, "0.544"),
        ("train/lr", 2.001e-05, "2e-05"),
        ("perf/step_s", 815.7, "816"),
        ("perf/clips_per_s", 12345.6, "12,346"),
        ("eval/mse", float("nan"), "nan"),
        ("eval/num_intervals", 512, "512"),
        ("eval/constant_caption", "a digit", "a digit"),
    ],
)
def test_shares_are_in_percent_and_other_numbers_have_three_digits(name, value, shown):
    assert rounded(name, value) == shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("eval/top1", "top-1 accuracy"),
        ("val/top1", "top-1 accuracy, last validation"),
        ("eval/constant_top1", "top-1 accuracy, best constant answer"),
        ("eval/f1_macro", "macro F1"),
        ("eval/precision_micro", "micro precision"),
        ("eval/verb_top5", "verb top-5"),
        ("eval/ccc_velocity_right", "CCC velocity right"),
        ("eval/rouge2", "ROUGE-2"),
        ("eval/constant_bleu4", "BLEU-4, best constant answer"),
        ("eval/my_own", "my own"),
    ],
)
def test_figures_have_names_in_words(name, said):
    assert words(name) == said


def test_what_sentences_and_other_rows_state_is_left_out():
    """A classification of one label per video has 21 figures; eight of them say something of their own."""
    right = 0.80273
    results = {
        "eval/top1": right, "eval/top5": 1.0, "eval/top1_scored": right, "eval/mean_class_accuracy": 0.8,
        "eval/precision_macro": 0.79, "eval/recall_macro": 0.8, "eval/f1_macro": 0.78, "eval/precision_micro": right,
        "eval/recall_micro": right, "eval/f1_micro": right, "eval/constant_top1": 0.125, "eval/log_loss": 0.54,
        "eval/num_scored": 512, "eval/num_expected": 512, "eval/merge": "mean_softmax", "eval/clips": 2,
        "eval/crops": 1, "eval/checkpoint": "best", "eval/step": 300, "time/step": 815.0, "train/nonfinite": 0,
    }  # fmt: skip
    table = results_table(results)
    assert [row[2] for row in table.rows] == [
        "eval/top1", "eval/top5", "eval/mean_class_accuracy", "eval/precision_macro", "eval/recall_macro",
        "eval/f1_macro", "eval/constant_top1", "eval/log_loss",
    ]  # fmt: skip
    some_unscored = results_table(results | {"eval/top1_scored": 0.9, "train/nonfinite": 2})
    assert {"eval/top1_scored", "train/nonfinite"} < {row[2] for row in some_unscored.rows}


def test_figures_of_classes_are_in_percent():
    heading, table = class_blocks(
        {"eval/top1": 0.5, "eval/f1/left": 0.52631, "eval/recall/left": 1.0, "eval/f1/a/b": 0.0}
    )
    assert heading.text == "Classes"
    assert list(table.columns) == ["class", "F1", "recall"]
    assert table.rows == [["left", "52.6%", "100.0%"], ["a/b", "0.0%", ""]]
    assert class_blocks({"eval/top1": 0.5}) == []
