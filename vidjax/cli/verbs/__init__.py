"""The verbs of `vidjax VERB ...`, one file each, found by their file names."""

from vidjax.cli.verb import Verb
from vidjax.registry import Registry

__all__ = ["VERBS", "Verb"]

VERBS = Registry("vidjax.cli.verbs", "VERB", Verb, "a verb")
