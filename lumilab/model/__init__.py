"""The transformer: its layers, its cache for generation, its first weights and its layout on disk."""

from lumilab.model.initialise import initialise
from lumilab.model.kv_cache import KVCache
from lumilab.model.layout import count_parameters, hf_config, parameter_shapes
from lumilab.model.transformer import Transformer

__all__ = ["KVCache", "Transformer", "count_parameters", "hf_config", "initialise", "parameter_shapes"]
