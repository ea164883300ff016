"""The prefix cache behind the KV cells: blocks of computed tokens in RAM and on disk."""
