"""Rules that convert each family's public checkpoints to vidjax parameters and back."""
