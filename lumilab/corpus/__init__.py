"""From raw sources to clean, deduplicated documents in shards, with a card that says what happened on the way."""

VERSION = 2  # raised when a change of the code changes the corpus that comes of the same files and configuration
