"""Drawing text from a model: sampling, the engine with its key/value cache, text as it grows, and the chat session."""
