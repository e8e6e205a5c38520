"""Video files: strict decoding, packet indexes, truncation checks."""
