"""Scoring: an evaluator for each task, the merging of views and windows, metrics, features and probes."""

from vidjax.evaluation.evaluator import Evaluator, VideoEvaluator

__all__ = ["Evaluator", "VideoEvaluator"]
