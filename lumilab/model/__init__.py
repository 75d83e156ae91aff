"""The transformer: its layers, its cache for generation, its first weights and its layout on disk."""

from lumilab.model.families import family_of, hf_config, own_config
from lumilab.model.initialise import initialise
from lumilab.model.kv_cache import KVCache
from lumilab.model.language_model import LanguageModel, create_model
from lumilab.model.layout import count_parameters, parameter_shapes
from lumilab.model.transformer import Transformer

__all__ = [
    "KVCache",
    "LanguageModel",
    "Transformer",
    "count_parameters",
    "create_model",
    "family_of",
    "hf_config",
    "initialise",
    "own_config",
    "parameter_shapes",
]
