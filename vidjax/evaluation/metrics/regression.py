"""Agreement of predicted numbers with annotated numbers, pooled over all rows.

Sources: CCC, PCC, RMSE and SAGR are those of the AFEW-VA protocol (Kossaifi et al. 2017; emonet's `metrics.py`), with
population standard deviations; the MSE is that of LVU's protocol (Wu and Krähenbühl 2021; their src/run.py:1253).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

FIGURES = ("ccc", "pcc", "rmse", "sagr")  # for numbers in [-1, 1] whose sign has a meaning
SQUARES = ("r2", "mse", "pcc")  # for numbers of any size


def agreement(predictions: Float[np.ndarray, " n"], targets: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Measure how well predictions agree with targets, pooled over all rows instead of averaged over videos.

    Returns:
      ccc: 2 cov / (var + var + squared difference of means), in [-1, 1]; 0 if either side is constant.
      pcc: Pearson's correlation; 0 if either side is constant.
      mse: mean squared error.
      rmse: the root of mse.
      r2: the share of the targets' variance that predictions explain, 1 - mse / var; below 0 for predictions worse than
        the targets' mean, and 0 if the targets are constant.
      sagr: the share of rows whose signs agree.
    """
    predictions, targets = (np.asarray(values, np.float64) for values in (predictions, targets))
    off_p, off_t = predictions - predictions.mean(), targets - targets.mean()
    covariance, deviations = (off_p * off_t).mean(), predictions.std() * targets.std()
    below = predictions.var() + targets.var() + (predictions.mean() - targets.mean()) ** 2
    varied, mse, spread = deviations > 1e-12, float(np.mean((predictions - targets) ** 2)), targets.var()
    return {
        "ccc": float(2 * covariance / below) if varied else 0.0,
        "pcc": float(covariance / deviations) if varied else 0.0,
        "mse": mse,
        "rmse": mse**0.5,
        "r2": float(1 - mse / spread) if spread > 1e-24 else 0.0,
        "sagr": float((np.sign(predictions) == np.sign(targets)).mean()),
    }


def summarise_regression(
    predictions: Float[np.ndarray, "n k"],
    targets: Float[np.ndarray, "n k"],
    scored: np.ndarray,
    names: Sequence[str] | None = None,
    figures: Sequence[str] = FIGURES,
) -> dict[str, float | int | str]:
    """Return the flat results: each metric per target and averaged over targets, and the averages of the best constant.

    An unscored row counts as a prediction of 0. The constant is the mean of the targets, which has the least squared
    error of all constants.

    Args:
      scored: (n,) bool.
      names: names of the targets.
      figures: names from `agreement`.
    """
    names = names or [str(number) for number in range(targets.shape[1])]
    predictions = np.where(scored[:, None], predictions, 0.0)
    constant = np.broadcast_to(targets.mean(axis=0), targets.shape)
    results: dict[str, float | int | str] = {}
    for prefix, found in (("eval/", predictions), ("eval/constant_", constant)):
        columns = [agreement(found[:, k], targets[:, k]) for k in range(targets.shape[1])]
        results |= {f"{prefix}{figure}": float(np.mean([c[figure] for c in columns])) for figure in figures}
        if prefix == "eval/":
            pairs = zip(names, columns, strict=True)
            results |= {f"eval/{figure}_{name}": column[figure] for name, column in pairs for figure in figures}
    return results | {"eval/num_scored": int(scored.sum()), "eval/num_expected": len(scored)}
