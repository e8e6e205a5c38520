"""Rules between vidjax parameters and each family's public checkpoints."""
