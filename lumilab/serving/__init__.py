"""Models behind HTTP, in OpenAI's form, and the chat page that talks to them."""
