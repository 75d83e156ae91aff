"""Documents to training windows: encoding and packing, the token shards, the order of a run, and the loader."""
