"""A toy run as a separate program, to be killed: python runner.py WORKDIR SECONDS_PER_STEP KEY=VALUE ...

`objective__row=R` and `objective__at=K` make row R of batch K not finite, `objective__poison=(K,)` all of it, and
`objective__spikes=(K,)` multiplies its loss.
"""

import ast
import dataclasses
import sys
import time

import jax.numpy as jnp
import toy

from vidjax.training import distributed, train
from vidjax.training.peers import together


class SlowBatches(toy.ToyBatches):
    """Batches that arrive slowly, so that a kill can hit any moment."""

    seconds = 0.0

    def __next__(self):
        time.sleep(self.seconds)
        return super().__next__()


@dataclasses.dataclass(frozen=True)
class OneRow(toy.ToyObjective):
    """The loss and gradient of one row of one batch are NaN, so that they come from one device."""

    row: int = 0
    at: int = -1

    def loss(self, params, extra, batch, rngs, train):
        loss, rest = super().loss(params, extra, batch, rngs, train)
        factor = jnp.where(batch["index"] == self.row + self.at * 16, jnp.nan, 0.0)  # a toy batch has 16 rows
        return loss + (factor * params["head"]["bias"].sum()).sum(), rest


def main(workdir: str, seconds: str, *changes: str) -> None:
    SlowBatches.seconds = float(seconds)
    keys = {key: ast.literal_eval(value) for key, value in (change.split("=", 1) for change in changes)}
    own = {key.removeprefix("objective__"): keys.pop(key) for key in tuple(keys) if key.startswith("objective__")}
    kind = OneRow if "row" in own else toy.Spiky if "spikes" in own else toy.ToyObjective
    config, objective = toy.toy_config(**keys), kind(**own)
    with together():
        distributed.initialize(start_seconds=config.train.start_seconds, peer_seconds=config.train.peer_seconds)
        train(config, workdir, source=toy.ToySource(), objective=objective, make_batches=SlowBatches)


if __name__ == "__main__":
    main(*sys.argv[1:])
