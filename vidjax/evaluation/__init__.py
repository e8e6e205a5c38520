"""Evaluation: an evaluator for each task, merging of views and windows, metrics, features and probes."""

from vidjax.evaluation.evaluator import Evaluator, VideoEvaluator

__all__ = ["Evaluator", "VideoEvaluator"]
