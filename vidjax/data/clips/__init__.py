"""Clips from videos: which frames, which crops, which augmentations."""
