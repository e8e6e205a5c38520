"""Make clips from videos: frame sampling, crops and augmentation."""
