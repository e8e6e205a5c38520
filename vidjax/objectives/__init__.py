"""Training objectives: a loss on batches, with the module whose parameters it trains."""

from vidjax.objectives.action import ActionRecognition
from vidjax.objectives.attentive_probe import AttentiveProbe
from vidjax.objectives.base import Objective
from vidjax.objectives.captioning import Captioning
from vidjax.objectives.classification import Classification
from vidjax.objectives.contrastive import Contrastive
from vidjax.objectives.distillation import Distillation
from vidjax.objectives.feature_alignment import FeatureAlignment
from vidjax.objectives.feature_prediction import FeaturePrediction
from vidjax.objectives.least_squares import LeastSquares
from vidjax.objectives.masked_autoencoding import MaskedAutoencoding
from vidjax.objectives.multi_label import MultiLabel
from vidjax.objectives.regression import Regression
from vidjax.objectives.self_distillation import SelfDistillation
from vidjax.objectives.supervised import Supervised

__all__ = [
    "ActionRecognition",
    "AttentiveProbe",
    "Captioning",
    "Classification",
    "Contrastive",
    "Distillation",
    "FeatureAlignment",
    "FeaturePrediction",
    "LeastSquares",
    "MaskedAutoencoding",
    "MultiLabel",
    "Objective",
    "Regression",
    "SelfDistillation",
    "Supervised",
]
