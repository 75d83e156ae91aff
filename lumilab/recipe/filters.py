"""The recipe's quality filters: every threshold of every rule, and the presets that set them together."""

from __future__ import annotations

from lumilab.recipe.section import Section


class FiltersConfig(Section):
    """Which documents are good enough."""
