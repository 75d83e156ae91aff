"""Which documents repeat others: exactly, or nearly (features C9).

`find_duplicates` is the whole of it, in phases of independent tasks; `minhash.MinHasher` makes the hashes beforehand,
while the documents are read.
"""

from lumilab.corpus.deduplication.duplicates import DuplicateReport, find_duplicates
from lumilab.corpus.deduplication.verdicts import REASONS

__all__ = ["REASONS", "DuplicateReport", "find_duplicates"]
