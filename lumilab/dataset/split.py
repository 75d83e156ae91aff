"""Which split a document goes to.

It depends on the document's group (its id, if it stands alone) and the seed alone, by a keyed hash, so adding documents
never moves one from training to validation, and no document is in both.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

TRAIN = "train"
VALIDATION = "validation"
SPLITS = (TRAIN, VALIDATION)


def splitter(seed: int, validation_share: float) -> Callable[[str], str]:
    """The function from a document's group (its id, if it stands alone) to its split's name."""
    keyed = blake2b(digest_size=8, key=blake2b(str(seed).encode(), digest_size=32).digest(), person=b"lumilab.split")
    threshold = validation_share * 2**64

    def split_of(group: str) -> str:
        state = keyed.copy()
        state.update(group.encode())
        return VALIDATION if int.from_bytes(state.digest(), "big") < threshold else TRAIN

    return split_of
