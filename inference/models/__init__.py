"""Model files: which are known, where they come from, what they say of themselves, where they live."""
