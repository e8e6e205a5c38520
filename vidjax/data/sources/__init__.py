"""The rows of data sets: where each video is and what its annotations say."""
