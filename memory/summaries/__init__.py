"""A conversation that is longer than a model's context is carried by a summary of its older turns."""
