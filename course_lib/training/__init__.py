"""How the networks learn: one training loop, and its checkpoints."""
