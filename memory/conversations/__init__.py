"""Conversations and their turns: stored, paged, searched, exported, retained and truly deleted."""
