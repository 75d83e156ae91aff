"""From a model that continues text to one that answers: conversations, what of them is trained, and the training."""
