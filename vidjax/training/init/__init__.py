"""What a run starts from: its own checkpoint, parameters of other checkpoints, or random numbers."""
