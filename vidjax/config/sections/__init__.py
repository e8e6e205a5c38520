"""The sections of a configuration: frozen, typed dataclasses with a comment on each key."""
