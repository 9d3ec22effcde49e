"""Version of hf-toedit, which runs and cards record."""

__version__ = "0.1.0"
