"""Where text comes from: each source lists its raw files and yields documents or the records it could not read."""
