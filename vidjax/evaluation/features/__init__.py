"""Compute the features of a frozen backbone, and store them in a folder."""
