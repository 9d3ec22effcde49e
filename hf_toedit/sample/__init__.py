"""A small dataset of original documents that is installed with the package."""

from pathlib import Path


def path() -> Path:
    """Return the path of the bundled ``sample.parquet``."""
    return Path(__file__).with_name("sample.parquet")
