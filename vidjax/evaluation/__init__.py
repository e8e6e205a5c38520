"""Scoring: metrics, the merging of views, and the evaluation of a classifier over a whole data set."""

from vidjax.evaluation.multiview import evaluate_classifier, make_eval_step, score_classifier

__all__ = ["evaluate_classifier", "make_eval_step", "score_classifier"]
