"""Private AI on the small boards that people own."""

__version__ = "0.1.0"
