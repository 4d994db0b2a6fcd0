"""How a trained network writes: greedy and beam search, sampling."""
