"""What this board can do and how to set the knobs. Pure recommendations, each with its reason."""
