"""The recipe's adapter section: a few new numbers that are trained, on weights that stay as they are."""

from __future__ import annotations

from typing import Literal

from lumilab.recipe.section import Count, Section, setting

AdaptedLayer = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class AdapterConfig(Section):
    """Low-rank adaptation (LoRA, Hu et al. 2021): to each adapted matrix W comes scale · B · A, and only B and A learn.

    The scale is alpha / rank, or with `rslora` alpha / sqrt(rank).
    """

    rank: Count = setting(16, "columns of B and rows of A: how much an adapted matrix can change")
    alpha: float = setting(32.0, "strength of what was learned; the scale is alpha / rank", gt=0)
    dropout: float = setting(0.0, "share of an adapter's inputs that are left out while training", ge=0, lt=1)
    targets: Literal["all"] | list[AdaptedLayer] = setting(
        "all", "which layers: all linear ones inside the blocks, or their names (q_proj, k_proj, v_proj, ...)"
    )
    rslora: bool = setting(False, "scale by alpha / sqrt(rank), which is steadier at large ranks (Kalajdzievski 2023)")
