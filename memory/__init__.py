"""What the node remembers: one SQLite file. Knows no HTTP and no models; an embedder is passed in."""
