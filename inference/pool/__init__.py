"""Loaded models: starts, watches, restarts and unloads their worker processes; this board's Executor."""
