"""Public data sets, one small file each: splits, labels, protocol; here only their names, so that help is quick.

A module states TITLE, LAYOUT (of its root, in words), NUM_CLASSES, and VIDEOS (how many each split lists) where that
does not change.
"""

PUBLIC = ("kinetics400", "kinetics600", "kinetics700", "ssv2", "ucf101", "hmdb51", "coin", "coin_domains")
WITH_FACTS = {
    "motion": "motion",
    "afew_va": "afew_va",
    "charades": "charades",
}  # of more than a class
EMBEDDED = ("motion", "motion_digits")
ON_DISK = ("folder", *PUBLIC, "afew_va", "charades")  # what can be checked and prepared
