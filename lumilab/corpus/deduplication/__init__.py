"""Which documents repeat others: exactly, or nearly."""
