"""Integration with `datasets`: the API for users of `load_dataset` and `Dataset.map`."""
