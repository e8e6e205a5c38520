"""A data set with videos that never arrive, as from a network disk that hangs."""

import multiprocessing
import time

from vidjax.data.sources.synthetic import SyntheticSource


class StallingSource(SyntheticSource):
    """Eight rows without files; reading a row in `held` blocks the loader process."""

    def __init__(self, held):
        super().__init__("train")
        self.held = held

    def __len__(self):
        return 8

    def __getitem__(self, index):
        while index in self.held and multiprocessing.parent_process():
            time.sleep(1)
        return super().__getitem__(index)
