"""How do several processes train one model? Processes, the collectives between them, and what they cost."""
