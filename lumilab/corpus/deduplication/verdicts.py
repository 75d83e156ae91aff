"""What deduplication says of each document: uint8, an index into REASONS."""

REASONS = ("", "duplicate", "near duplicate")
STAYS, DUPLICATE, NEAR_DUPLICATE = range(3)
