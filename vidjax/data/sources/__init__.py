"""The rows of data sets: the location and annotations of each video."""
