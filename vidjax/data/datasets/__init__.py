"""The data sets by `data.name`: each module here defines `DATASET`, a `DatasetSpec`, and its file name is its name."""

from vidjax.data.dataset_spec import DatasetSpec
from vidjax.registry import Registry

__all__ = ["DATASETS", "DatasetSpec"]

DATASETS = Registry("vidjax.data.datasets", "DATASET", DatasetSpec, "a data set")
