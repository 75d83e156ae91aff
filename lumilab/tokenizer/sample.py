"""An even sample of a stream of texts whose total length is known, and a mixture of such samples.

A text is taken whenever what was taken before it is no more than its share of what went by (error diffusion, as
Bresenham's line does it), so the sample is spread over the whole stream, is the same every time, and needs no memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from lumilab.errors import ConfigError


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


class MixedSample:
    """An even sample of each source, in given shares.

    Args:
        characters: how much text each source has.
        target: how much to take of all together; None for as much as there is.
        weights: of the sources, in any unit; empty to take each as much as it has. No text is taken twice, so where a
            source has too little for its share, less is taken of all.

    Raises:
        ConfigError: a weight names a source that is not there, or the sources with a weight have no text.
    """

    def __init__(self, characters: Mapping[str, int], target: int | None, weights: Mapping[str, float]) -> None:
        unknown = sorted(weights.keys() - characters.keys())
        if unknown:
            raise ConfigError(
                f"The corpus has no source {unknown[0]!r}",
                where="tokenizer.weights",
                mend=f"its sources are {', '.join(sorted(characters))}.",
            )
        total = sum(characters.values())
        shares = {source: weight / sum(weights.values()) for source, weight in weights.items() if weight}
        if weights:
            total = int(min(characters[source] / share for source, share in shares.items()))
        else:
            shares = {source: count / total for source, count in characters.items() if count}
        if total < 1:
            raise ConfigError(
                "A source with a weight has no text", where="tokenizer.weights", mend="leave it out, or add text to it."
            )
        self.target = min(target or total, total)
        self._samples = {
            source: EvenSample(characters[source], round(self.target * share)) for source, share in shares.items()
        }

    def take(self, source: str, text: str) -> str:
        """The part of a source's next text that belongs to the sample."""
        sample = self._samples.get(source)
        return sample.take(text) if sample else ""

    @property
    def taken(self) -> dict[str, int]:
        """Characters taken so far, by source."""
        return {source: sample.taken for source, sample in sorted(self._samples.items())}
