"""From raw sources to clean, deduplicated documents in shards, with a card that says what happened on the way."""
