"""The key/value cache: what attention has computed for earlier tokens, kept so that generation reads each token once.

Every row of a batch has its own length, so prompts of different lengths go through one forward pass: pad them at the
end, run them, and `truncate` each row to its true length. The next tokens then overwrite the padding's places.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lumilab.errors import InputError
from lumilab.recipe.model import ModelConfig


class KVCache:
    """Room for `capacity` tokens of each of `batch` rows in every layer.

    Args:
        config: the model the cache is for.
        batch: number of rows.
        capacity: most tokens a row can hold.
        dtype: of the stored keys and values: that of the model's activations.
        device: where the model is.

    Attributes:
        keys, values: one tensor [batch, kv_heads, capacity, head_dim] a layer.
        lengths: tokens held by each row.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (batch, config.kv_heads, capacity, config.head_dim)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.layers)]
        self.capacity = capacity
        self.lengths = [0] * batch

    def reserve(self, count: int) -> Tensor:
        """The slots [batch, count] (int64, CPU) that the next `count` tokens of each row go to.

        Raises:
            InputError: a row has no room for them.
        """
        if max(self.lengths) + count > self.capacity:
            raise InputError(
                f"The text is longer than the {self.capacity} tokens that fit here",
                mend="give a shorter text, or ask for fewer new tokens.",
            )
        return torch.tensor(self.lengths)[:, None] + torch.arange(count)

    def store(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Puts new keys and values [batch, kv_heads, T, head_dim] at `slots` [batch, T] of a layer.

        Returns:
            That layer's keys and values up to the longest row's end: [batch, kv_heads, S, head_dim].
        """
        rows = torch.arange(len(self.lengths), device=keys.device)[:, None]
        self.keys[layer][rows, :, slots] = keys.transpose(1, 2).to(self.keys[layer].dtype)
        self.values[layer][rows, :, slots] = values.transpose(1, 2).to(self.values[layer].dtype)
        end = max(self.lengths) + keys.shape[2]
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def advance(self, count: int) -> None:
        """Counts `count` stored tokens in every row; the model calls it once after all layers."""
        self.lengths = [length + count for length in self.lengths]

    def row(self, number: int, length: int) -> KVCache:
        """One row as a cache of its own, of which `length` tokens count. Both write to the same memory."""
        row = KVCache.__new__(KVCache)
        row.keys = [keys[number : number + 1] for keys in self.keys]
        row.values = [values[number : number + 1] for values in self.values]
        row.capacity, row.lengths = self.capacity, [length]
        return row

    def reset(self) -> None:
        """Forgets everything: the next tokens are the first of new texts."""
        self.lengths = [0] * len(self.lengths)

    def truncate(self, lengths: Sequence[int] | int) -> None:
        """Forgets each row's tokens beyond its new length (one number for all rows, or one each).

        Raises:
            ValueError: a row holds fewer tokens than that.
        """
        wanted = [lengths] * len(self.lengths) if isinstance(lengths, int) else list(lengths)
        if len(wanted) != len(self.lengths) or any(
            not 0 <= new <= old for new, old in zip(wanted, self.lengths, strict=True)
        ):
            raise ValueError(f"cannot truncate rows of {self.lengths} tokens to {wanted}")
        self.lengths = wanted
