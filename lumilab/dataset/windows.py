"""How many windows a sequence of tokens has, and which of its tokens are in none, by the mode of packing.

A window has `window` inputs and as many labels, each the token behind its input, so it reaches over window + 1 tokens.

- concat: window w begins at token w * window; its last label is the first input of the next.
- sliding: window w begins at token w * (window - overlap).
- best_fit: see lumilab.dataset.best_fit; every token is in a window.

Of the first two, tokens behind the last whole window are in none: fewer than there are from one window to the next.
Validation measures every token, in windows that lie as those of concat do, the last one filled up.
"""

from __future__ import annotations

from dataclasses import dataclass

from lumilab.recipe.dataset import DatasetConfig

LAST_WINDOW = "in no whole window"


@dataclass(frozen=True)
class RegularWindows:
    """Windows at regular places.

    Attributes:
        window: inputs in each.
        stride: tokens from where one begins to where the next does.
    """

    window: int
    stride: int

    @classmethod
    def of(cls, config: DatasetConfig) -> RegularWindows:
        """The windows of concat and sliding packing. Half of each window is in the next where sliding says nothing."""
        if config.packing != "sliding":
            return cls(config.window, config.window)
        return cls(config.window, config.window - (config.window // 2 if config.overlap is None else config.overlap))

    def count(self, tokens: int) -> int:
        """How many whole windows a sequence of so many tokens has."""
        return 0 if tokens <= self.window else (tokens - 1 - self.window) // self.stride + 1

    def covered(self, tokens: int) -> int:
        """How many tokens of such a sequence are in a window."""
        count = self.count(tokens)
        return (count - 1) * self.stride + self.window + 1 if count else 0
