"""A data set of which some videos never arrive, as from a network disk that hangs."""

import multiprocessing
import time

from vidjax.data.sources.synthetic import SyntheticSource


class StallingSource(SyntheticSource):
    """Eight rows without files; those of `held` stop the loader process that asks for them."""

    def __init__(self, held):
        super().__init__("train")
        self.held = held

    def __len__(self):
        return 8

    def __getitem__(self, index):
        while index in self.held and multiprocessing.parent_process():
            time.sleep(1)
        return super().__getitem__(index)
