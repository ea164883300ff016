"""Tokens to text (characters, stop strings, reasoning) and messages to a prompt (chat templates)."""
