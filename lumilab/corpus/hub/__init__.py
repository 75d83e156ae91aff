"""Datasets of the Hugging Face hub: what there is, downloading it so that nothing is lost, reading it from afar.

The hub is spoken to with the standard library alone: three JSON endpoints (revision, tree, search) and plain GET
requests with byte ranges. `HF_ENDPOINT`, `HF_TOKEN` and the token file are looked at when a request is made, and a
token is only ever sent to the hub's own host.
"""
