"""What was said and told, found again: words (FTS5) and meaning (vectors), merged. `recall.py` is the door."""
