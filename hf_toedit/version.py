"""The version of hf-toedit, which runs and cards tell."""

__version__ = "0.1.0"
