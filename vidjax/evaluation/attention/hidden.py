"""The hidden attention of a selective scan (Ali, Zimerman & Wolf 2024, arXiv:2403.01590, equations 10 to 13).

With dt, B and C fixed, a scan is linear in its inputs: for each channel, y = alpha u + D u, where

  alpha_ij = C_i  exp(A (dt_(j+1) + ... + dt_i))  dt_j B_j    for j <= i, and 0 elsewhere

Here alpha_ij is read as the attention of token i to token j; it may be negative. In a scan from the last token to the
first, j >= i. As in the authors' `vim/xai_utils.py`, alpha is averaged over channels, without D and the gate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vidjax import ops
from vidjax.models.mamba import MERGES
from vidjax.ops.mamba_branch import scan_operands

DIRECTIONS = {"forward": False, "backward": True}  # whether the scan is reversed


class Scan(NamedTuple):
    """The operands that define alpha for one direction of a layer."""

    dt: Float[Array, "l d"]
    dt_bias: Float[Array, " d"]
    A: Float[Array, "d s"]
    B: Float[Array, "l s"]
    C: Float[Array, "l s"]
    reverse: bool

    @classmethod
    def of(cls, x: Float[Array, "l d"], params: Any, reverse: bool) -> Scan:
        """Compute the operands from a mixer's projected tokens and the parameters of one of its directions."""
        conv, dt_proj = params["conv"], params["dt_proj"]
        weights = ops.BranchWeights(
            conv["kernel"], conv["bias"], params["x_proj"]["kernel"].astype(x.dtype),
            dt_proj["kernel"].astype(x.dtype), dt_proj["bias"], -jnp.exp(params["A_log"]), params["D"],
        )  # fmt: skip
        _, dt, B, C = scan_operands(x[None], weights, reverse=reverse)
        return cls(dt[0], weights.dt_bias, weights.A, B[0], C[0], reverse)

    def __call__(self, u: Float[Array, "l d"]) -> Float[Array, "l d"]:
        """Compute alpha u."""
        dt, B, C = (x[None].astype(jnp.float32) for x in (self.dt, self.B, self.C))
        return ops.selective_scan(u[None], dt, self.A, B, C, dt_bias=self.dt_bias, reverse=self.reverse)[0]

    def rows(self, weights: Float[Array, " l"]) -> Float[Array, " l"]:
        """Compute sum_i weights_i alpha_ij by the transposed scan; the result is the mean over channels."""
        of_channels = jnp.broadcast_to(weights[:, None], self.dt.shape)
        _, transpose = jax.vjp(self, jnp.zeros(self.dt.shape, jnp.float32))
        return transpose(of_channels)[0].mean(axis=1)

    def sums(self) -> Float[Array, " l"]:
        """Compute sum_j alpha_ij; the result is the mean over channels."""
        return self(jnp.ones(self.dt.shape, jnp.float32)).mean(axis=1)


def both(x: Float[Array, "l d"], params: Any) -> dict[str, Scan]:
    """Return the scans of a mixer by the names in `DIRECTIONS`; `params` are the mixer's."""
    return {name: Scan.of(x, params[name], reverse) for name, reverse in DIRECTIONS.items()}


def merged_rows(scans: dict[str, Scan], weights: Float[Array, " l"], merge: str) -> Float[Array, " l"]:
    """Merge the `Scan.rows` of both directions as in the model."""
    return MERGES[merge] * (scans["forward"].rows(weights) + scans["backward"].rows(weights))


def rolled_rows(scans: dict[str, Scan], weights: Float[Array, " l"], merge: str) -> Float[Array, " l"]:
    """Compute weights (alpha + I) with each row of alpha + I divided by its sum, as in `vim/xai_utils.py:5`."""
    sums = 1 + MERGES[merge] * (scans["forward"].sums() + scans["backward"].sums())
    weights = weights / sums
    return weights + merged_rows(scans, weights, merge)
