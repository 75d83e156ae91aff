"""The stages: what each reads, what it makes, what is stale, and running them."""
