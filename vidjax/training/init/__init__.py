"""What a run starts from: its checkpoint, another run's parameters, public weights, or random numbers."""
