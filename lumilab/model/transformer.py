"""The decoder-only transformer. Parameter names are those of Hugging Face's Qwen3ForCausalLM, so export is a copy.
Learned positions, which that layout does not know, are `model.embed_positions`.

The model knows nothing of training, files or devices: it maps token ids to features and features to logits, and
the two are apart so that a loss can read the features in pieces and never hold all logits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lumilab.errors import InputError
from lumilab.model.kv_cache import KVCache
from lumilab.model.layers import Block, Context
from lumilab.model.norms import residual_norm
from lumilab.model.rotary import rotary_table
from lumilab.recipe.model import ModelConfig


class Embedding(nn.Embedding):
    """An embedding that draws no random numbers where there is no memory for them (on the device `meta`).

    Torch would load its compiler to know the shape of what it draws, which takes longer than loading most models.
    """

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class Body(nn.Module):
    """Embedding, blocks and last norm: the part that the Hugging Face layout names `model`."""

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.embed_tokens = Embedding(vocabulary_size, config.width)
        self.embed_positions = Embedding(config.context, config.width) if config.positions == "learned" else None
        self.layers = nn.ModuleList(Block(config, index) for index in range(config.layers))
        self.norm = residual_norm(config)


class Transformer(nn.Module):
    """Token ids to logits.

    Args:
        config: the shape.
        vocabulary_size: number of token ids.

    Attributes:
        activation_dtype: dtype of the residual stream and of the matrix products; None for the weights' own.
        recompute: forget what is inside a block after its forward pass and compute it again for the backward pass
            (activation checkpointing, Chen et al. 2016): about a third more time, and the memory of one block instead
            of that of all. Gradients are the same.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = vocabulary_size
        self.activation_dtype: torch.dtype | None = None
        self.recompute = False
        self.model = Body(config, vocabulary_size)
        # A table, as a compiled backward pass would work the cosines out again from the positions in every layer.
        self.rotary: Tensor | None
        self.register_buffer("rotary", rotary_table(config) if config.positions == "rope" else None, persistent=False)
        self.lm_head = None if config.tie_embeddings else nn.Linear(config.width, vocabulary_size, bias=False)

    @property
    def output_weight(self) -> Tensor:
        """The matrix [vocabulary, width] that turns features into logits."""
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def features(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        cache: KVCache | None = None,
        branches: Tensor | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """The normalised residual stream [B, T, width] after the last block, or [N, width] of the `wanted` tokens.

        Args:
            ids: token ids [B, T], int64.
            positions: of each token in its text [B, T], int64; by default counted from the row's start (after what
                the cache holds), or from each document's start when `documents` is given.
            documents: a number [B, T] per token that changes where a new document begins; attention then stays within
                a document. None for one document a row.
            cache: holds the rows' earlier tokens and receives these.
            branches: of texts that begin alike [B, T]: 0 for what they share, which comes first, another number for
                the rest of each. A token sees its own branch and what is shared. Needs `positions`; a row may be
                longer than the context, its positions may not.
            wanted: true for the tokens whose features are asked for [B, T], which saves work in the last block; None
                for all.

        Raises:
            InputError: a row would be longer than the model's context, or than the cache.
            ValueError: both `documents` and `cache` are given, or `branches` with either or without `positions`.
        """
        if branches is not None and (positions is None or documents is not None or cache is not None):
            raise ValueError("branches need positions, and go with neither documents nor a cache")
        held = max(cache.lengths) if cache is not None else 0
        length = held + ids.shape[1] if branches is None or positions is None else int(positions.max()) + 1
        if length > self.config.context:
            raise InputError(
                f"A sequence of {length} tokens is longer than the model's context of {self.config.context}",
                mend="shorten it, or train a model with a larger model.context.",
            )
        slots = self._slots(ids, documents, cache)
        if positions is None:
            positions = document_positions(documents) if documents is not None else slots
        x = self.model.embed_tokens(ids)
        if self.model.embed_positions is not None:
            table = self.model.embed_positions.weight
            x = x + (table[: ids.shape[1]] if positions is None else table[positions])
        if self.activation_dtype is not None:
            x = x.to(self.activation_dtype)
        turns = self._turns(ids.shape[1], positions)
        turns = None if turns is None else turns.to(x.dtype)
        if branches is not None:
            context = Context(turns, causal=False, mask=branch_mask(branches))
        else:
            context = self._context(ids, turns, documents, cache, slots)
        for index, block in enumerate(self.model.layers):
            chosen = wanted if index == len(self.model.layers) - 1 else None
            if self.recompute and cache is None and torch.is_grad_enabled():
                x = checkpoint(block, x, context, chosen, use_reentrant=False)
            else:
                x = block(x, context, chosen)
        if cache is not None:
            cache.advance(ids.shape[1])
        normalised: Tensor = self.model.norm(x)
        return normalised

    def logits(self, features: Tensor) -> Tensor:
        """Scores [..., vocabulary] of the next token, in the features' dtype."""
        return F.linear(features, self.output_weight.to(features.dtype))

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Logits [B, T, vocabulary]; arguments as for `features`."""
        return self.logits(self.features(ids, positions, documents, cache))

    def _slots(self, ids: Tensor, documents: Tensor | None, cache: KVCache | None) -> Tensor | None:
        """Where in the cache the tokens go, [B, T]."""
        if cache is None:
            return None
        if documents is not None:
            raise ValueError("a cache holds one document a row: give `documents` or `cache`, not both")
        return cache.reserve(ids.shape[1]).to(ids.device)

    def _turns(self, length: int, positions: Tensor | None) -> Tensor | None:
        """The rotary table's rows of the tokens' positions."""
        if self.rotary is None:
            return None
        return self.rotary[None, :length] if positions is None else self.rotary[positions]

    def _context(
        self,
        ids: Tensor,
        turns: Tensor | None,
        documents: Tensor | None,
        cache: KVCache | None,
        slots: Tensor | None,
    ) -> Context:
        """Who sees whom, worked out once for all layers."""
        if cache is not None and slots is not None:
            if ids.shape[1] == 1 and len(set(cache.lengths)) == 1:  # each row's new token sees all the row holds
                return Context(turns, causal=False, cache=cache, slots=slots)
            keys = torch.arange(max(cache.lengths) + ids.shape[1], device=ids.device)
            return Context(turns, causal=False, mask=keys <= slots[:, None, :, None], cache=cache, slots=slots)
        if documents is not None and ids.device.type != "cpu":
            return Context(turns, causal=False, mask=document_mask(documents))
        return Context(turns, causal=True, documents=documents)


def document_mask(documents: Tensor) -> Tensor:
    """[B, 1, T, T], true where a token (third) may see another (fourth): earlier or itself, in the same document."""
    length = documents.shape[1]
    causal = torch.ones((length, length), dtype=torch.bool, device=documents.device).tril()
    return ((documents[:, :, None] == documents[:, None, :]) & causal)[:, None]


def branch_mask(branches: Tensor) -> Tensor:
    """[B, 1, T, T], true where a token (third) may see another (fourth): earlier or itself, shared or of its branch."""
    length = branches.shape[1]
    causal = torch.ones((length, length), dtype=torch.bool, device=branches.device).tril()
    seen = branches[:, None, :]
    return (((seen == 0) | (seen == branches[:, :, None])) & causal)[:, None]


def document_positions(documents: Tensor) -> Tensor:
    """Each token's position [B, T] counted from where its document begins in the row."""
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return index - torch.where(begins, index, 0).cummax(dim=1).values
