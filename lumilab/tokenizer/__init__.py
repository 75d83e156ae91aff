"""Text to token ids and back: learning a vocabulary, loading it, encoding with it, and the card that describes it."""
