"""A toy run as a program of its own, to be killed: python runner.py WORKDIR SECONDS_A_STEP KEY=VALUE ..."""

import ast
import sys
import time

import toy

from vidjax.training import distributed, train
from vidjax.training.peers import together


class SlowBatches(toy.ToyBatches):
    """Takes its time, so that a kill lands anywhere."""

    seconds = 0.0

    def __next__(self):
        time.sleep(self.seconds)
        return super().__next__()


def main(workdir: str, seconds: str, *changes: str) -> None:
    SlowBatches.seconds = float(seconds)
    pairs = (change.split("=", 1) for change in changes)
    config = toy.toy_config(**{key: ast.literal_eval(value) for key, value in pairs})
    with together():
        distributed.initialize(start_seconds=config.train.start_seconds, peer_seconds=config.train.peer_seconds)
        train(config, workdir, source=toy.ToySource(), objective=toy.ToyObjective(), make_batches=SlowBatches)


if __name__ == "__main__":
    main(*sys.argv[1:])
