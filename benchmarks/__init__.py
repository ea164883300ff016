"""Ours beside llama-server, on the same model, threads and minute. Run by hand: `make bench`."""
