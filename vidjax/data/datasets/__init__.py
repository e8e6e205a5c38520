"""The built-in data sets. Each module defines `DATASET`, a `DatasetSpec`, whose `data.name` is the module's name."""

from vidjax.data.dataset_spec import DatasetSpec
from vidjax.registry import Registry

__all__ = ["DATASETS", "DatasetSpec"]

DATASETS = Registry("vidjax.data.datasets", "DATASET", DatasetSpec, "a data set")
