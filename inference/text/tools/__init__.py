"""How models call tools: one file a format, behind the contract in `base.py`."""
