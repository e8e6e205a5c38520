"""The initial state of a run: its own checkpoint, parameters of other checkpoints, or random parameters."""
