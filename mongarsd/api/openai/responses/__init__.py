"""OpenAI's Responses and Conversations, kept as turns of conversations."""
