"""The small language model that is included in the package."""

from pathlib import Path


def path() -> Path:
    """Return the folder that holds the model, for `from_pretrained`."""
    return Path(__file__).resolve().parent
