"""The batching engine: a pure scheduler, the cells of the KV cache, and the step loop over any Backend."""
