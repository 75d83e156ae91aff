"""Models to and from the formats of others, each proven: the same logits there and here."""
