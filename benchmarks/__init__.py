"""Comparisons with llama-server, and of ours with ours. Not installed."""

import os

# As the pool sets it for its workers; libgomp reads it when llama.cpp is loaded, here into the benchmark's own process.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
