"""Lumilab: everything between raw text and a language model you can talk to."""

__version__ = "0.1.0"
