"""An even sample of a stream of texts whose total length is known.

A text is taken whenever what was taken before it is no more than its share of what went by (error diffusion, as
Bresenham's line does it), so the sample is spread over the whole stream, is the same every time, and needs no memory.
"""

from __future__ import annotations


class EvenSample:
    """Takes about `target` of `total` characters, spread evenly; all of them when `target` is the larger.

    Whole texts are taken, except that one that would go past the target is cut there.
    """

    def __init__(self, total: int, target: int) -> None:
        self.total = total
        self.target = min(target, total)
        self.taken = 0
        self._seen = 0

    def take(self, text: str) -> str:
        """The part of the next text that belongs to the sample: all, a beginning, or nothing."""
        # Decided before the text's own length counts, so that a long text is no likelier to be taken than a short one.
        behind = self.taken * self.total <= self.target * self._seen
        self._seen += len(text)
        if not behind:
            return ""
        part = text[: self.target - self.taken]
        self.taken += len(part)
        return part
