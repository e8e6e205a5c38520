"""Public data sets, one small file each: splits, labels, protocol."""
