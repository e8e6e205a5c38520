"""The data sets by `data.name`: each module here defines `DATASET`, a `DatasetSpec`, named after its file."""

from vidjax.data.dataset_spec import DatasetSpec
from vidjax.registry import Registry

__all__ = ["DATASETS", "DatasetSpec"]

DATASETS = Registry("vidjax.data.datasets", "DATASET", DatasetSpec, "a data set")
