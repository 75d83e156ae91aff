"""Exact deduplication: of documents with the same cleaned text, the first in source order stays.

Only a 128-bit BLAKE2b of each text is kept (about 100 bytes of memory a document, whatever its length). Among 10^9
documents the chance that two different texts share a hash is about 10^-21 (birthday bound n^2 / 2^129).
"""

from __future__ import annotations

import hashlib

HASH_BYTES = 16


class ExactDeduplicator:
    """Remembers every text it was shown."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def is_duplicate(self, text: bytes) -> bool:
        """Whether this UTF-8 text was shown before; from now on it was."""
        key = hashlib.blake2b(text, digest_size=HASH_BYTES).digest()
        if key in self._seen:
            return True
        self._seen.add(key)
        return False
