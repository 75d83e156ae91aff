"""How good the models are: measures on held-back text, baselines on the same text, and answers to read."""
