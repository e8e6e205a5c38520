"""Agreement of predicted numbers with what was annotated: CCC, PCC, RMSE and SAGR, pooled over all rows.

Source: the metrics of the AFEW-VA protocol (Kossaifi et al. 2017; emonet's `metrics.py`), with population deviations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

FIGURES = ("ccc", "pcc", "rmse", "sagr")


def agreement(predictions: Float[np.ndarray, " n"], targets: Float[np.ndarray, " n"]) -> dict[str, float]:
    """How well numbers agree, over all of them together and not as a mean over videos.

    Returns:
      ccc: 2 cov / (var + var + squared difference of means), in [-1, 1]; 0 where one side is constant.
      pcc: Pearson's correlation; 0 likewise.
      rmse: root of the mean squared error.
      sagr: share of rows whose signs are equal.
    """
    predictions, targets = (np.asarray(values, np.float64) for values in (predictions, targets))
    off_p, off_t = predictions - predictions.mean(), targets - targets.mean()
    covariance, deviations = (off_p * off_t).mean(), predictions.std() * targets.std()
    below = predictions.var() + targets.var() + (predictions.mean() - targets.mean()) ** 2
    varied = deviations > 1e-12
    return {
        "ccc": float(2 * covariance / below) if varied else 0.0,
        "pcc": float(covariance / deviations) if varied else 0.0,
        "rmse": float(np.sqrt(np.mean((predictions - targets) ** 2))),
        "sagr": float((np.sign(predictions) == np.sign(targets)).mean()),
    }


def summarise_regression(
    predictions: Float[np.ndarray, "n k"],
    targets: Float[np.ndarray, "n k"],
    scored: np.ndarray,
    names: Sequence[str] | None = None,
) -> dict[str, float | int | str]:
    """The flat results: each figure of each target and its mean over targets, and those of the best constant.

    A row that could not be scored counts as a prediction of 0; the constant is the mean of the targets, which has the
    least squared error of all.

    Args:
      scored: (n,) bool.
      names: of the targets.
    """
    names = names or [str(number) for number in range(targets.shape[1])]
    predictions = np.where(scored[:, None], predictions, 0.0)
    constant = np.broadcast_to(targets.mean(axis=0), targets.shape)
    results: dict[str, float | int | str] = {}
    for prefix, found in (("eval/", predictions), ("eval/constant_", constant)):
        columns = [agreement(found[:, k], targets[:, k]) for k in range(targets.shape[1])]
        results |= {f"{prefix}{figure}": float(np.mean([c[figure] for c in columns])) for figure in FIGURES}
        if prefix == "eval/":
            pairs = zip(names, columns, strict=True)
            results |= {f"eval/{figure}_{name}": column[figure] for name, column in pairs for figure in FIGURES}
    return results | {"eval/num_scored": int(scored.sum()), "eval/num_expected": len(scored)}
