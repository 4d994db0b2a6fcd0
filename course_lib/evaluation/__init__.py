"""How well it did: the metrics behind every claim."""
