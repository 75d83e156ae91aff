"""Documents to training windows: encoding and packing, the token shards, the order of a run, and the loader."""

VERSION = 2  # raised when a change of the code changes the dataset for the same configuration
